"""Call recordings from a hosted PBX into S3: tagged, sealed for their tenant, and back out again."""

__version__ = "0.1.0"
