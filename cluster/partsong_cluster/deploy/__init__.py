"""Deploy files: how one mesh is spread over the machines of a cluster; read, checked, rendered for Kubernetes and for hosts, applied."""

from partsong_cluster.deploy.load import LoadedDeploy, load_deploy
from partsong_cluster.deploy.overlay import overlaid, system_spec
from partsong_cluster.deploy.schema import Deploy

__all__ = ["Deploy", "LoadedDeploy", "load_deploy", "overlaid", "system_spec"]
