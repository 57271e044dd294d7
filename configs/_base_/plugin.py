# What every config of this plug-in needs: its registration.
custom_imports = dict(imports=["gemini_det3d.plugin"], allow_failed_imports=False)
