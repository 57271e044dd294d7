# DeLiVER, all four modalities, trained with sensors that are taken away (announced) and disturbed
# (not announced), for use where sensors fail. Test with `gemini-det3d eval-sensors`.
_base_ = ["segformer_gemini-pixel_mit-b2_8xb1-200e_deliver-25class.py"]

train_pipeline = _base_.train_pipeline
train_pipeline.insert(-1, dict(type="SegModalityDropout", prob=0.25, noise_prob=0.35))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
