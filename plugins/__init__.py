"""The built-in plugins, one file each, installed as `gateway.plugins`."""
