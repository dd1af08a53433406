# The project's habits; `make help` lists them. All of them need only Python >= 3.11.
.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types imports schemas schemas-check readme readme-check \
  kills docker replicas simulate-long aws-long uml bench lock changelog image bare clean run \
  dev cluster cluster-build cluster-long cluster-down cluster-kubeconfig

BIN := .venv/bin
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/chaosrun
CODE := chaosrun tests bench tools
export ARGS

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run:
	@tools/setup run

dev:
	@tools/setup dev

demo: run ## Break a small real system on purpose, and write the report
	@tools/demo

test: dev ## Run the tests, in two processes: with the cluster and without; ARGS="-k name" chooses
	$(BIN)/python -m pytest -n 2 $(ARGS)

check: lint types imports schemas-check readme-check test ## All that must hold before a commit

format: dev ## Format the code, and mend what ruff can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: dev ## Formatting and lint
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: dev ## mypy, strict
	$(BIN)/mypy

imports: dev ## The layers: imports point one way
	$(BIN)/lint-imports

schemas: dev ## Derive schemas/ from the types
	$(BIN)/python -m chaosrun.schema write schemas

schemas-check: dev ## Fail when schemas/ is not what the types say
	$(BIN)/python -m chaosrun.schema check schemas

readme: dev ## Write the README's tables from the code and the last benchmark
	$(BIN)/python -m tools.readme write

readme-check: dev ## Fail when the README's tables are not what the code says
	$(BIN)/python -m tools.readme check

kills: dev ## The long lane of real kills: hundreds of runs killed at random moments
	CHAOSRUN_KILLS=$${CHAOSRUN_KILLS:-400} $(BIN)/python -m pytest -m kills $(ARGS)

replicas: dev ## The long lane of daemons: minutes of killing schedulers, workers and the database
	CHAOSRUN_REPLICAS=$${CHAOSRUN_REPLICAS:-180} $(BIN)/python -m pytest -s tests/service/test_replicas.py $(ARGS)

docker: dev ## The long lane of containers: every promise of every fault of provider docker
	$(BIN)/python -m pytest -m "long or not long" tests/contract/test_faults.py -k "docker and not host" $(ARGS)

simulate-long: dev ## The long lane of the simulator
	$(BIN)/python -m pytest -m long tests/simulation $(ARGS)

uml: dev ## As root: all that is tested of netem, in a kernel that has it (User-Mode Linux)
	$(BIN)/python -m pytest -m uml tests/mechanisms $(ARGS)

aws-long: dev ## The long lane of AWS: every experiment as a user with exactly its policy, and more
	$(BIN)/python -m pytest -m long -k aws tests/providers/aws tests/contract $(ARGS)

cluster-long: dev ## The long lane of the cluster: each call fails in each way; 5,000 pods
	$(BIN)/python -m pytest -s -m long -k kubernetes $(ARGS)

cluster: dev ## As root: start a real Kubernetes on this machine, three nodes; tests then use it
	$(BIN)/python -m tests.cluster up

cluster-build: dev ## Build what the tests run in it, once, into the cache: some minutes each
	$(BIN)/python -m tests.cluster build

cluster-down: dev ## End it, and all that it made
	$(BIN)/python -m tests.cluster down

cluster-kubeconfig: dev ## Print where its kubeconfig is
	@$(BIN)/python -m tests.cluster kubeconfig

bench: dev ## Measure against the peers, and write the README's table; ARGS=name chooses
	$(BIN)/python -m bench $(ARGS)

lock: dev ## Resolve the dependencies anew into requirements/
	tools/lock "$(CACHE)"

changelog: dev ## Show what the next release's CHANGELOG.md would say
	$(BIN)/towncrier build --draft --version "$$($(BIN)/python -c 'import chaosrun; print(chaosrun.__version__)')"

image: ## Build the container image; BASE names another base image
	docker build $(if $(BASE),--build-arg BASE=$(BASE)) --tag chaosrun .

bare: ## As root: prove `make demo` and `make test` in a bare Debian with only Python and make
	tests/bare_machine.sh "$(CACHE)"

clean: ## Remove what these habits made in the tree
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
