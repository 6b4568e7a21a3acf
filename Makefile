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
# For `make status`: text or json.
FORMAT ?= text
# For `make bench`: more arguments of the lab, such as BENCH="--rounds 2 --scenario pages".
BENCH ?=
export BENCH
export ENVIRONMENT PROVIDER BOX BIND HTTP_PORT HTTPS_PORT LOCUST_PORT FORMAT
# For `make demo-sensor`: which room, and how many readings.
ROOM ?= bench
READINGS ?= 20
export ROOM READINGS
export TOPOLOGY HOST UNIT LINES FOLLOW RELEASE WHY STATE FORCE

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
maintenance: ## STATE=on: everybody gets a page and 503; STATE=off
	@$(LAUREL) maintenance

##@ Look
status: ## Hosts, units, topology, release, health; FORMAT=json for programs
	@$(LAUREL) status
logs: ## A host's journal: HOST=app1, with UNIT=uwsgi, LINES=200, FOLLOW=1
	@$(LAUREL) logs
ssh: ## A shell on a host: HOST=edge
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
bench: ## Compare the topologies under load; deploys first if nothing is deployed
	@REQUIREMENTS=loadtests/lab/requirements.txt $(LAUREL) bench

mqtt-bench: ## Measure the MQTT server on this machine: messages a second, and nothing lost across restarts
	@mqtt/bench/run

##@ Develop
test: ## Lint, hostless tests, app tests, cluster tests: everything, on a cluster of their own
	@tests/run
clean: destroy ## Remove the cluster and what this checkout built
	@rm -rf build .laurel .venv .vagrant .pytest_cache .ruff_cache

# Steps of the verbs above, and what Vagrant calls.
prepare provision build boot verify side-by-side side-by-side-off:
	@$(LAUREL) $@

help:
	@awk 'BEGIN {FS = ":.*## "; print "Laurel: deploy Django with Channels, and measure what is deployed.\n\nusage: make VERB [NAME=value …]"} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: plan releases rollback reload restart drain undrain maintenance deploy topology destroy status logs ssh doctor locust locust-stop demo-sensor mqtt-bench bench test clean prepare provision build boot verify side-by-side side-by-side-off help
