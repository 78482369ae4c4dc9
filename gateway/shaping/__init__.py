"""JSON that is reshaped on its way: read and written exactly, picked from, edited, cut down to chosen fields. Pure."""
