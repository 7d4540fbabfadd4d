"""Was it recorded? What should have been recorded, compared with what arrived."""
