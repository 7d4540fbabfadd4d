"""The database: tenants, recordings and who may see them. The only home of SQLAlchemy."""
