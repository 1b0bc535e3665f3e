"""Kubeflow Pipelines' REST API, version v2beta1, for a process of its own.

The paths, methods and messages are those of the published OpenAPI file, by the models of kfp-server-api that
are generated from it: a body is refused that has a field which its model lacks, or a value of another type.
Beyond that it checks what the server's source does (https://github.com/kubeflow/pipelines,
backend/src/apiserver): names that must be new, the pipeline's parameters, the cron expression, the number of
runs at a time. Lists have pages, filters by equality, and an order.

It runs nothing: a run is RUNNING until it has been looked at twice, and then ends as POST /testing says.
There is no user, no namespace and no clock: POST /testing says that a recurring run is due.
"""

import datetime
import itertools
import json
import re
import sys
import uuid

import kfp_server_api
import yaml
from aiohttp import web

PAGE = 20
_LAYOUT = {"2006": "%Y", "01": "%m", "02": "%d", "15": "%H", "04": "%M", "05": "%S"}  # of Go's `time`
_INT64 = {("V2beta1RecurringRun", "max_concurrency"), ("V2beta1PeriodicSchedule", "interval_second")}


class RefusedError(Exception):
    """A request that the server does not take."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def check(value, kind, where=""):
    """Refuse what is no value of a model's type."""
    if kind == "object":
        return
    if match := re.fullmatch(r"list\[(.*)\]", kind):
        _expect(isinstance(value, list), where, "a list", value)
        for item in value:
            check(item, match[1], where)
    elif match := re.fullmatch(r"dict\(str, (.*)\)", kind):
        _expect(isinstance(value, dict), where, "an object", value)
        for name, item in value.items():
            check(item, match[1], f"{where}.{name}")
    elif kind in ("str", "datetime"):
        _expect(isinstance(value, str), where, "a text", value)
    elif kind in ("int", "bool"):
        _expect(type(value) is {"int": int, "bool": bool}[kind], where, kind, value)
    elif not getattr(kfp_server_api, kind).openapi_types:
        allowed = [v for n, v in vars(getattr(kfp_server_api, kind)).items() if n.isupper()]
        _expect(value in allowed, where, f"one of {allowed}", value)
    else:
        _expect(isinstance(value, dict), where, "an object", value)
        model = getattr(kfp_server_api, kind)
        types = {model.attribute_map[name]: given for name, given in model.openapi_types.items()}
        for name, item in value.items():
            _expect(name in types, where, f"a message without {name}", value)
            # In the JSON of protocol buffers a 64-bit number may be a number or a text.
            number = (kind, name) in _INT64 and type(item) is int
            if not number:
                check(item, types[name], f"{where}.{name}")


def _expect(holds, where, expected, value):
    if not holds:
        raise RefusedError(400, f"{where or 'body'}: expected {expected}, got {value!r}")


class Store:
    """What the server has."""

    def __init__(self):
        self.pipelines, self.versions, self.experiments = {}, {}, {}
        self.recurring_runs, self.runs = {}, {}
        self.looks, self.ends = {}, {}
        self.requests = []  # method and path of each that changes something
        self.clock = itertools.count()
        self.expand = True

    def now(self):
        start = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
        return (start + datetime.timedelta(seconds=next(self.clock))).isoformat().replace("+00:00", "Z")


STORE = Store()


def _listed(request, field, items):
    """Return a page of items, filtered and in order."""
    query = request.query
    if query.get("filter"):
        given = json.loads(query["filter"])
        # Its JSON has names in camel case, and an operation by number or name.
        for predicate in given["predicates"]:
            _expect(set(predicate) == {"operation", "key", "stringValue"}, "filter", "a text", predicate)
            _expect(predicate["operation"] in (1, "EQUALS"), "filter", "EQUALS", predicate)
            items = [item for item in items if item[predicate["key"]] == predicate["stringValue"]]
    key, _, direction = (query.get("sort_by") or "created_at").partition(" ")
    items = sorted(items, key=lambda item: item[key], reverse=direction == "desc")
    start = int(query.get("page_token") or 0)
    end = start + (int(query.get("page_size") or 0) or PAGE)
    page = {field: items[start:end], "total_size": len(items)}
    if end < len(items):
        page["next_page_token"] = str(end)
    return web.json_response(page)


def _new(store, id_name, **values):
    entry = {id_name: str(uuid.uuid4()), "created_at": STORE.now(), **values}
    store[entry[id_name]] = entry
    return entry


def _get(store, what, key):
    if key not in store:
        raise RefusedError(404, f"{what} {key} not found")
    return store[key]


def _unique(items, name, what):
    if not name:
        raise RefusedError(400, f"the name of the {what} is empty")
    if any(item["display_name"] == name for item in items):
        raise RefusedError(409, f"the {what} {name} exists")


async def _body(request, kind):
    value = await request.json()
    check(value, kind)
    return value


routes = web.RouteTableDef()
API = "/apis/v2beta1"


@routes.get(f"{API}/healthz")
async def healthz(request):
    return web.json_response({"multi_user": False})


@routes.get(f"{API}/pipelines")
async def list_pipelines(request):
    return _listed(request, "pipelines", list(STORE.pipelines.values()))


@routes.post(f"{API}/pipelines")
async def create_pipeline(request):
    body = await _body(request, "V2beta1Pipeline")
    _unique(STORE.pipelines.values(), body.get("display_name"), "pipeline")
    return web.json_response(_new(STORE.pipelines, "pipeline_id", **body))


@routes.get(API + "/pipelines/{pipeline_id}/versions")
async def list_versions(request):
    pipeline_id = request.match_info["pipeline_id"]
    _get(STORE.pipelines, "pipeline", pipeline_id)
    found = [v for v in STORE.versions.values() if v["pipeline_id"] == pipeline_id]
    return _listed(request, "pipeline_versions", found)


@routes.post(f"{API}/pipelines/upload_version")
async def upload_version(request):
    form = await request.post()
    _expect(set(form) == {"uploadfile"}, "form", "uploadfile", set(form))
    pipeline_id = request.query["pipelineid"]
    _get(STORE.pipelines, "pipeline", pipeline_id)
    others = [v for v in STORE.versions.values() if v["pipeline_id"] == pipeline_id]
    _unique(others, request.query.get("name"), "pipeline version")
    spec, platform = yaml.safe_load_all(form["uploadfile"].file.read())
    version = _new(
        STORE.versions,
        "pipeline_version_id",
        pipeline_id=pipeline_id,
        display_name=request.query["name"],
        pipeline_spec={"pipeline_spec": spec, "platform_spec": platform},
    )
    return web.json_response(version)


@routes.get(f"{API}/experiments")
async def list_experiments(request):
    return _listed(request, "experiments", list(STORE.experiments.values()))


@routes.post(f"{API}/experiments")
async def create_experiment(request):
    body = await _body(request, "V2beta1Experiment")
    _unique(STORE.experiments.values(), body.get("display_name"), "experiment")
    return web.json_response(_new(STORE.experiments, "experiment_id", **body))


def _check_run(body):
    """Refuse what has no name, or parameters that are not the pipeline's (template/v2_template.go)."""
    if not body.get("display_name"):
        raise RefusedError(400, "the run has no name")
    _get(STORE.experiments, "experiment", body.get("experiment_id"))
    reference = body.get("pipeline_version_reference") or {}
    version = _get(STORE.versions, "pipeline version", reference.get("pipeline_version_id"))
    root = version["pipeline_spec"]["pipeline_spec"]["root"]
    definitions = root.get("inputDefinitions", {}).get("parameters", {})
    given = body.get("runtime_config", {}).get("parameters", {})
    for name, definition in definitions.items():
        if name not in given:
            if "defaultValue" not in definition:
                raise RefusedError(
                    400,
                    f"parameter {name} is not optional, yet has neither default value "
                    "nor user provided value",
                )
            continue
        wanted = {"STRING": (str,), "BOOLEAN": (bool,)}.get(definition["parameterType"], (int, float))
        if type(given[name]) not in wanted:
            raise RefusedError(400, f"input parameter {name} requires type {definition['parameterType']}")
    if extra := given.keys() - definitions.keys():
        raise RefusedError(400, f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


@routes.get(f"{API}/recurringruns")
async def list_recurring_runs(request):
    return _listed(request, "recurringRuns", list(STORE.recurring_runs.values()))


@routes.post(f"{API}/recurringruns")
async def create_recurring_run(request):
    body = await _body(request, "V2beta1RecurringRun")
    _check_run(body)
    if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
        raise RefusedError(400, "The max concurrency of the recurring run is out of range. Support 1-10.")
    if len(body["trigger"]["cron_schedule"]["cron"].split()) != 6:
        raise RefusedError(
            400, "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron)"
        )
    body.setdefault("service_account", "pipeline-runner")
    body["max_concurrency"] = str(body["max_concurrency"])
    made = _new(STORE.recurring_runs, "recurring_run_id", **body)
    return web.json_response(_with_status(made))


def _with_status(recurring_run):
    recurring_run["status"] = recurring_run["mode"] + "D"
    return recurring_run


@routes.post(API + "/recurringruns/{key:[^:]+}:{action}")
async def change_recurring_run(request):
    found = _get(STORE.recurring_runs, "recurring run", request.match_info["key"])
    found["mode"] = {"enable": "ENABLE", "disable": "DISABLE"}[request.match_info["action"]]
    _with_status(found)
    return web.json_response({})


@routes.delete(API + "/recurringruns/{key}")
async def delete_recurring_run(request):
    """Delete it and, as Kubernetes does with what is owned, its runs under way, unless they are orphaned."""
    key = request.match_info["key"]
    _get(STORE.recurring_runs, "recurring run", key)
    policy = request.query.get("propagation_policy")
    _expect(set(request.query) <= {"propagation_policy"}, "query", "propagation_policy", dict(request.query))
    if policy:
        check(policy, "V2beta1DeletePropagationPolicy", "propagation_policy")
    del STORE.recurring_runs[key]
    if policy != kfp_server_api.V2beta1DeletePropagationPolicy.ORPHAN:
        for run in list(STORE.runs.values()):
            if run.get("recurring_run_id") == key and run["state"] in ("PENDING", "RUNNING"):
                del STORE.runs[run["run_id"]]
    return web.json_response({})


@routes.get(f"{API}/runs")
async def list_runs(request):
    experiment = request.query["experiment_id"]
    _get(STORE.experiments, "experiment", experiment)
    return _listed(request, "runs", [r for r in STORE.runs.values() if r["experiment_id"] == experiment])


@routes.post(f"{API}/runs")
async def create_run(request):
    body = await _body(request, "V2beta1Run")
    _check_run(body)
    return web.json_response(_new(STORE.runs, "run_id", **body, state="PENDING"))


@routes.get(API + "/runs/{key}")
async def get_run(request):
    run = _get(STORE.runs, "run", request.match_info["key"])
    looks = STORE.looks[run["run_id"]] = STORE.looks.get(run["run_id"], 0) + 1
    run_date = run["runtime_config"]["parameters"].get("run_date")
    run["state"] = "RUNNING" if looks < 2 else STORE.ends.get(run_date, "SUCCEEDED")
    return web.json_response(run)


@routes.get("/testing")
async def tell(request):
    """Tell all that is there, and what changed it."""
    return web.json_response(
        {
            name: list(v.values()) if isinstance(v, dict) else v
            for name, v in vars(STORE).items()
            if name not in ("clock", "expand")
        }
    )


@routes.post("/testing")
async def testing(request):
    """Forget all; edit recurring runs; let runs of a date end in a state, or one be due; expand nothing."""
    order = await request.json()
    if order.get("reset"):
        STORE.__init__()
    for recurring_run in STORE.recurring_runs.values():
        recurring_run.update(order.get("edit", {}))
    STORE.ends |= order.get("ends", {})
    STORE.expand = order.get("expand", STORE.expand)
    for name, due in order.get("due", {}).items():
        (found,) = [r for r in STORE.recurring_runs.values() if r["display_name"] == name]
        at = datetime.datetime.fromisoformat(due)
        parameters = {
            key: _expanded(value, at) if isinstance(value, str) and STORE.expand else value
            for key, value in found["runtime_config"]["parameters"].items()
        }
        _new(
            STORE.runs,
            "run_id",
            display_name=f"{name}-{next(STORE.clock)}",
            experiment_id=found["experiment_id"],
            recurring_run_id=found["recurring_run_id"],
            runtime_config={"parameters": parameters},
            scheduled_at=due,
            state=order.get("state", "SUCCEEDED"),
        )
    return web.json_response({})


def _expanded(text, at):
    """Expand as backend/src/common/util/parameter_formatter.go does."""

    def layout(match):
        return at.strftime(re.sub("|".join(_LAYOUT), lambda part: _LAYOUT[part[0]], match[1]))

    return re.sub(r"\[\[ScheduledTime\.(.*?)\]\]", layout, text)


@web.middleware
async def answer(request, handler):
    """Note what changes something; answer a refusal as the server does."""
    if request.method != "GET" and request.path != "/testing":
        STORE.requests.append(f"{request.method} {re.sub(r'[0-9a-f-]{36}', 'ID', request.path)}")
    try:
        return await handler(request)
    except RefusedError as error:
        return web.json_response({"code": 3, "message": str(error), "details": []}, status=error.status)


def main():
    """Serve on the port given, and print the address."""
    app = web.Application(middlewares=[answer])
    app.add_routes(routes)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
