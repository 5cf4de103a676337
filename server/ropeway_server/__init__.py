"""The Ropeway index service: what there is, views, and their bytes, over HTTP."""
