"""What no exporter of the distribution tells: CPU and memory by unit, requests by nginx's log, uWSGI's workers, certificates, backups."""
