# The two commands: `make demo` and `make test`. Both install what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help

INVENTORY ?= inventories/local
SCENARIO ?= etcd_majority_partition
PYTEST_ARGS ?=
BENCH ?=

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.collections
export MOLECULE_GLOB := molecule/*/molecule.yml
PLAYBOOK := ansible-playbook -i $(INVENTORY)
# Apart from make test: they take as long as all others together.
APART := tests/integration/test_vm_image.py tests/integration/test_vm_remote.py tests/integration/test_baremetal.py tests/integration/test_power_baremetal.py
# Of the specification's own system, on one lab of theirs.
SERVICES := $(addprefix tests/integration/test_,contracts.py foundation.py mabeam_coordination.py mabeam_economics.py planted_bugs.py)
PYTEST := PYTHONPATH=.collections pytest -p no:pytest-ansible -p no:cacheprovider $(PYTEST_ARGS)

.PHONY: help demo run heal destroy purge test unit browser integration vm vm-short apart molecule molecule-all lint docs bench bench-faults bench-scale link-backends setup-run setup-dev

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup-run ## Make the lab, deploy etcd, cut it in two under load, judge, report
	$(PLAYBOOK) playbooks/site.yml -e scenario=$(SCENARIO)

run: setup-run ## Run SCENARIO=name (or all) on the lab that stands
	$(PLAYBOOK) playbooks/run.yml -e scenario=$(SCENARIO)

heal: setup-run ## End every run and take back every fault, now
	$(PLAYBOOK) playbooks/heal.yml

destroy: setup-run ## Remove the lab with all its traces (cached images stay)
	$(PLAYBOOK) playbooks/destroy.yml

purge: setup-run ## Remove the lab and the cached images
	$(PLAYBOOK) playbooks/destroy.yml -e lab_container_purge_images=true -e lab_vm_purge_images=true

test: unit browser integration vm-short molecule ## Pass all tests (unit, in a browser, on the real lab, on virtual machines, molecule)

unit: setup-dev ## Unit tests: no root, no nodes; on every core
	$(PYTEST) --numprocesses auto --dist worksteal tests/unit

browser: setup-dev ## The reports in headless Chromium
	$(PYTEST) tests/browser

integration: setup-dev ## Tests on real nodes of their own labs; need root
	$(PYTEST) $(SERVICES)
	$(PYTEST) tests/integration --ignore=tests/integration/test_vm.py $(addprefix --ignore=,$(SERVICES) $(APART))

vm-short: setup-dev ## Virtual machines made, left alone, cut off from power, refused; need root
	$(PYTEST) -m short tests/integration/test_vm.py

vm: setup-dev ## All tests on virtual machines, emulated where there is no KVM; need root
	$(PYTEST) tests/integration/test_vm.py

apart: setup-dev ## Tests of hosts that exist (on nodes as strangers), their power, images of your own, and a hypervisor elsewhere; need root
	for tests in $(APART); do $(PYTEST) $$tests || exit; done

molecule: setup-dev ## molecule test
	molecule test

molecule-all: setup-dev ## molecule test of every scenario, one after the other
	for scenario in $(notdir $(patsubst %/molecule.yml,%,$(wildcard molecule/*/molecule.yml))); do molecule test -s $$scenario || exit; done

lint: setup-dev ## ansible-lint (production), ruff, mypy
	ruff check .
	ruff format --check .
	MYPYPATH=.collections mypy
	ansible-lint --offline

docs: setup-dev ## Write the generated parts of docs/, and schemas/, anew
	PYTHONPATH=.collections python -m ansible_collections.foundation.testbed.plugins.plugin_utils.catalogue
	PYTHONPATH=.collections python -m ansible_collections.foundation.testbed.plugins.plugin_utils.scenario_schema
	PYTHONPATH=.collections python -m ansible_collections.foundation.testbed.plugins.plugin_utils.contract_schema

bench: setup-dev ## Measure the figures of docs/figures.md (BENCH="checker compile starts runs cycles faults foundation link report scale")
	PYTHONPATH=.collections python -m ansible_collections.foundation.testbed.tests.bench $(BENCH)

bench-faults: setup-dev ## Try every fault in every way that could leave it behind, and 100 random mixes (ONLY='disk: fail|mix 7$$')
	PYTHONPATH=.collections python -m ansible_collections.foundation.testbed.tests.bench faults

bench-scale: setup-dev ## Measure and draw each step on 3 to 40 nodes, and foretell 100 to 10,000
	PYTHONPATH=.collections python -m ansible_collections.foundation.testbed.tests.bench scale

link-backends: setup-dev ## Pass the link tests with netem and NFQUEUE under Debian's kernel, emulated (takes an hour)
	PYTHONPATH=.collections python tests/support/debian_kernel.py bash -ec ' \
	  ansible-playbook -i tests/integration/inventory playbooks/provision.yml -e lab_container_timeout_s=300; \
	  $(PYTEST) --inventory tests/integration/inventory tests/integration/test_fault_link.py; \
	  python tests/bench/link.py tests/integration/inventory delays losses others affected'

setup-run:
	@bin/setup run

setup-dev:
	@bin/setup dev
