# Laurel's front door: verbs, nothing else. `make` prints them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Which hosts: a folder of ansible/inventories/.
ENVIRONMENT ?= local
# What runs the local cluster's hosts: docker, libvirt or virtualbox.
PROVIDER ?=
# The box of which libvirt's and VirtualBox's machines are made: Debian 12, a name of `vagrant box list` or one to download.
BOX ?= debian/bookworm64
# Address on which the local cluster's ports are published; 0.0.0.0 lets others in.
BIND ?=
# Published ports of the local cluster: 8080, 8443 and 8089 unless chosen otherwise.
HTTP_PORT ?=
HTTPS_PORT ?=
LOCUST_PORT ?=
# For `make deploy` of the local cluster: ha, two more hosts for Redis with a Sentinel on each, or single again.
REDIS ?=
# For `make status`: text or json.
FORMAT ?= text
# For `make bench`: only this scenario, one of loadtests/scenarios/*.yml.
SCENARIO ?=
# For `make bench` and `make bench-full`: go on with an unfinished result, a folder below results/.
RESUME ?=
# For `make bench`: more arguments of the lab, such as BENCH="--rounds 2 --seed 7".
BENCH ?=
# For `make compare`: two results, folders below results/; B is the newest unless given. RESULT is for `make report`.
A ?=
B ?=
RESULT ?=
export SCENARIO RESUME BENCH A B RESULT
export REDIS ENVIRONMENT PROVIDER BOX BIND HTTP_PORT HTTPS_PORT LOCUST_PORT FORMAT
# What opens an inventory that is encrypted: a file with the password, or a program that prints it.
VAULT_PASSWORD_FILE ?=
export VAULT_PASSWORD_FILE
# For `make audit`: which judges; all of them unless named.
JUDGES ?=
export JUDGES
# For `make demo-sensor`: which room, and how many readings.
ROOM ?= bench
READINGS ?= 20
export ROOM READINGS
# For `make feed-check`: how many messages, read by how many.
ROOM_EVENTS ?= 2000
SUBSCRIBERS ?= 200
export ROOM_EVENTS SUBSCRIBERS
# For `make impact`: which operations, how often, and how many people; see loadtests/impact/operations.yml.
ONLY ?=
ROUNDS ?= 1
export ONLY ROUNDS PAGES SOCKETS MESSAGES STREAMS POLLERS
export TOPOLOGY HOST UNIT LINES FOLLOW REQUEST RELEASE WHY STATE FORCE DAPHNE UWSGI BACKUP SECRET LEAKED REBOOT DASHBOARD_PORT CMD

LAUREL = docker/cluster/bootstrap.sh

##@ Deploy
deploy: ## Boot the hosts if they are the local cluster's, build a release, deploy it, check that it answers
	@$(LAUREL) deploy
topology: ## Serve another topology, in seconds: TOPOLOGY=wsgi, asgi or mixed
	@$(LAUREL) topology
plan: ## What a deploy would change; changes nothing
	@$(LAUREL) plan
destroy: ## Remove the local cluster
	@$(LAUREL) destroy

##@ Operate, while people are connected
releases: ## The releases on the app hosts: which is current, which are good, which are bad and why
	@$(LAUREL) releases
rollback: ## Go back to the last good release, or to RELEASE=
	@$(LAUREL) rollback
reload: ## Replace every process of the application, host by host; nobody waits
	@$(LAUREL) reload
restart: ## Restart its units, host by host, out of nginx's rotation meanwhile
	@$(LAUREL) restart
drain: ## Send nothing new to HOST=app1 (WHY="a new disk"), and move its WebSockets to the others
	@$(LAUREL) drain
undrain: ## Send to HOST=app1 again
	@$(LAUREL) undrain
scale: ## Run DAPHNE=4 and UWSGI=8 processes on each app host
	@$(LAUREL) scale
add-host: ## HOST=app3, a new app host, joins the running cluster
	@$(LAUREL) add-host
remove-host: ## and goes again: HOST=app3
	@$(LAUREL) remove-host
backup: ## Dump the database, prove the dump by restoring and comparing, bring a copy here
	@$(LAUREL) backup
backups: ## The backups, on the host and here
	@$(LAUREL) backups
restore: ## Put BACKUP=20260131-033000 in the database's place; what was there is kept beside it
	@$(LAUREL) restore
rotate-secrets: ## New passwords for old ones, or SECRET=redis_password alone; LEAKED=1: the key of the sessions too
	@$(LAUREL) rotate-secrets
vault: ## Put the secrets into the inventory, encrypted: VAULT_PASSWORD_FILE=~/.laurel-vault, which every verb then wants
	@$(LAUREL) vault
upgrade-os: ## Upgrade the distribution's packages, host by host, drained; REBOOT=1 also edge and data
	@$(LAUREL) upgrade-os
maintenance: ## STATE=on: everybody gets a page and 503; STATE=off
	@$(LAUREL) maintenance

##@ Look
status: ## Hosts, units, topology, release, health; FORMAT=json for programs
	@$(LAUREL) status
logs: ## A host's journal: HOST=app1, with UNIT=uwsgi, LINES=200, FOLLOW=1; REQUEST=<id>: one request's way
	@$(LAUREL) logs
dashboard: ## Requests, latency, sockets, delivery delay, CPU and memory by service, alerts; DASHBOARD_PORT=9090
	@$(LAUREL) dashboard
ssh: ## A shell on a host: HOST=edge; one command there: CMD="uptime"
	@$(LAUREL) ssh
doctor: ## Check this machine and say what to fix
	@$(LAUREL) doctor

demo-sensor: ## Publish READINGS=20 readings over MQTT into ROOM=bench, from the load host
	@$(LAUREL) demo-sensor

##@ Measure
locust: ## Start Locust's web UI on the load host
	@$(LAUREL) locust
locust-stop: ## Stop Locust's web UI
	@$(LAUREL) locust-stop
bench: ## Compare the topologies under load, in ten minutes at most; SCENARIO=push for one alone, RESUME=results/…
	@REQUIREMENTS=loadtests/lab/requirements.txt $(LAUREL) bench
bench-full: ## All eleven scenarios, unattended, about an hour; RESUME=results/… goes on with one
	@REQUIREMENTS=loadtests/lab/requirements.txt $(LAUREL) bench-full
report: ## The newest result again, as a table and report.html; or RESULT=results/…
	@REQUIREMENTS=loadtests/lab/requirements.txt $(LAUREL) report
compare: ## What changed between two results: A=results/… B=results/…
	@REQUIREMENTS=loadtests/lab/requirements.txt $(LAUREL) compare
impact: ## What operations and faults cost those who are connected; ONLY="reload kill-redis", ROUNDS=3, SOCKETS=300 …
	@REQUIREMENTS=loadtests/lab/requirements.txt $(LAUREL) impact
lab-check: ## Test the lab like what it tests: freezes, slowdowns, twins, lies, overload, a killed run
	@REQUIREMENTS="tests/requirements.txt loadtests/lab/requirements.txt" $(LAUREL) lab-check

rig: ## Turn on what a bench compares beside the deployed servers
	@$(LAUREL) rig
rig-off: ## Remove it
	@$(LAUREL) rig-off

feed-check: ## Does each transport give each message once, in order? ROOM_EVENTS=2000 SUBSCRIBERS=200, with restarts on the way
	@$(LAUREL) feed-check

mqtt-bench: ## Measure the MQTT server on this machine: messages a second, and nothing lost across restarts
	@mqtt/bench/run

##@ Develop
test: ## Lint, hostless tests, app tests, cluster tests: everything, on a cluster of their own
	@tests/run
test-full: ## And what takes long: secrets, hosts, packages, every runbook against its fault
	@LAUREL_FULL=1 tests/run
audit: ## Let the judges that others wrote judge, and two suites of ours: code, configuration, the deployed cluster; JUDGES="bandit testssl" names some
	@REQUIREMENTS=tests/requirements.txt $(LAUREL) audit
clean: destroy ## Remove the cluster and what this checkout built
	@rm -rf build .laurel .venv .vagrant .pytest_cache .ruff_cache

# Steps of the verbs above, and what Vagrant calls.
prepare provision build boot verify side-by-side side-by-side-off:
	@$(LAUREL) $@

help:
	@awk 'BEGIN {FS = ":.*## "; print "Laurel: deploy Django with Channels, and measure what is deployed.\n\nusage: make VERB [NAME=value …]"} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: vault plan test-full dashboard impact scale add-host remove-host backup backups restore rotate-secrets upgrade-os releases rollback reload restart drain undrain maintenance audit deploy topology destroy status logs ssh doctor locust locust-stop demo-sensor feed-check mqtt-bench bench bench-full report compare lab-check test clean prepare provision build boot verify side-by-side side-by-side-off rig rig-off help
