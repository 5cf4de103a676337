"""The main job from end to end on real clinical files: pack, serve, query, train on several processes, prove."""
