"""After the push: the server, its client, and the versions in the serving folder."""
