# SPDX-License-Identifier: GPL-2.0-or-later
"""A pod's manifest as the command line of `podman run` that makes the same container.

Each table says for each field what becomes of it. A field that is in no table is a KeyError: so a manifest cannot say
anything that was not tried.
"""
import json
import pathlib


def nothing(_):
    """For the scheduler, the API server, or the test itself; or it is so with podman anyway."""
    return []


def one_of(**options):
    return lambda value: options[value]


def if_true(*options):
    return lambda value: list(options) if value else []


POD = {
    "automountServiceAccountToken": nothing,
    "enableServiceLinks": nothing,
    "nodeSelector": nothing,
    "tolerations": nothing,
    "hostPID": if_true("--pid=host"),
    "hostNetwork": if_true("--network=host"),
    "terminationGracePeriodSeconds": lambda seconds: [f"--stop-timeout={seconds}"],
    "containers": nothing,
    "volumes": nothing,
}
CONTAINER = {
    "name": nothing,
    "image": nothing,
    "imagePullPolicy": nothing,
    "command": lambda words: [f"--entrypoint={json.dumps(words)}"],
    "env": nothing,
    "ports": nothing,
    "resources": nothing,
    "startupProbe": nothing,
    "livenessProbe": nothing,
    "securityContext": lambda context: options(SECURITY, context),
    "volumeMounts": nothing,
}
SECURITY = {
    "runAsUser": lambda uid: [f"--user={uid}"],
    "allowPrivilegeEscalation": lambda may: [] if may else ["--security-opt=no-new-privileges"],
    "readOnlyRootFilesystem": if_true("--read-only", "--read-only-tmpfs=false"),
    "capabilities": lambda capabilities: options(CAPABILITIES, capabilities),
    "seccompProfile": lambda profile: options(SECCOMP, profile),
    "appArmorProfile": lambda profile: options(APPARMOR, profile),
    "seLinuxOptions": lambda labels: [f"--security-opt=label={key}:{value}" for key, value in labels.items()],
}
CAPABILITIES = {
    "drop": lambda names: [f"--cap-drop={name}" for name in names],
    "add": lambda names: [f"--cap-add={name}" for name in names],
}
SECCOMP = {"type": one_of(RuntimeDefault=[])}
APPARMOR = {"type": one_of(Unconfined=["--security-opt=apparmor=unconfined"])}
PROPAGATION = {None: "rprivate", "HostToContainer": "rslave"}


def options(table, part):
    return [option for key, value in part.items() for option in table[key](value)]


def host_path(volume):
    """What a kubelet does with a volume before the container starts."""
    name, source = volume.pop("name"), volume.pop("hostPath")
    assert not volume and set(source) == {"path", "type"}, (name, volume, source)
    path = pathlib.Path(source["path"])
    if source["type"] == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    assert path.is_dir(), path
    return name, path


def mount(volumes, name, mountPath, readOnly=False, mountPropagation=None):
    return f"--volume={volumes[name]}:{mountPath}:{'ro' if readOnly else 'rw'},{PROPAGATION[mountPropagation]}"


def podman_options(spec):
    """Of a pod of one container. Where a runtime of Kubernetes and podman differ by default, as the former has it:
    the cgroup is below the pod's, in a namespace of its own, as of whoever is not privileged.
    """
    container, = spec["containers"]
    volumes = dict(map(host_path, map(dict, spec["volumes"])))
    return ["--cgroupns=private", *options(POD, spec), *options(CONTAINER, container),
            *(mount(volumes, **each) for each in container["volumeMounts"])]
