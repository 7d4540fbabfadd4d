"""Tenants: made and changed, their certificates, and the switches that wait to be applied."""
