# mmdet3d's own BEVFusion (its projects/BEVFusion) with one part changed: the layer that fuses the
# camera's and the LiDAR's map. Everything else is inherited from an mmdet3d checkout; MMDET3D names
# its folder, by default `mmdetection3d` beside this repository.
_base_ = [
    "{{$MMDET3D:../../../../mmdetection3d}}/projects/BEVFusion/configs/"
    "bevfusion_lidar-cam_voxel0075_second_secfpn_8xb4-cyclic-20e_nus-3d.py"
]

custom_imports = dict(
    imports=["projects.BEVFusion.bevfusion", "gemini_det3d.plugin"], allow_failed_imports=False
)

# in_channels=[80, 256] and out_channels=256 are those of the ConvFuser that it stands in for.
model = dict(
    fusion_layer=dict(type="MapFusionNeck", operator=dict(type="GeminiFusion", num_heads=8))
)
# A LiDAR-only model or one with another fusion, as load_from, starts the rest.
default_hooks = dict(
    checked_loading=dict(
        type="CheckedLoadingHook",
        starts_anew=["img_backbone", "img_neck", "view_transform", "fusion_layer"],
    )
)
