"""Which store the settings name."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from services.composer.settings import ComposerSettings
from services.composer.stored.folder_store import FolderStore
from services.composer.stored.store import Store

__all__ = ["open_store"]


def open_store(settings: ComposerSettings) -> Store:
    """The store that the settings name. Raises StoreError."""
    if not settings.store.startswith("s3://"):
        return FolderStore(Path(settings.store))
    from services.composer.stored.s3_store import S3Store  # brings boto3, which nobody else waits for

    parts = urlsplit(settings.store)
    prefix = parts.path.strip("/")
    return S3Store(parts.netloc, f"{prefix}/" if prefix else "", settings.store_endpoint)
