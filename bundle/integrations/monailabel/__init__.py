"""An app for MONAI Label that keeps the identity of a DICOM image; ``app/`` is what its server is started with."""
