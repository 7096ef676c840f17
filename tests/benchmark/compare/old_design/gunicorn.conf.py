"""Four processes of four threads: its best on two cores that it shares with the database and the load."""

workers = 4
threads = 4
worker_class = "gthread"
keepalive = 75
accesslog = None
loglevel = "warning"
# Its heartbeat files must not wait for a disk.
worker_tmp_dir = "/dev/shm"
