//! The Helm chart: rendered in its shapes, each object held against Kubernetes' own schemas.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::super::{Finding, run_quietly};
use super::{deploy, folder, is_there, skipped, tools};

/// The oldest that the chart names, and a new one.
const KUBERNETES: [&str; 2] = ["1.28", "1.36"];
/// As it is, and with all that can be switched on.
const SHAPES: [(&str, &str); 2] = [
    ("plain", "replicas=3"),
    (
        "full",
        "autoscaling.enabled=true,networkPolicy.enabled=true,monitoring.serviceMonitor.enabled=true,\
         monitoring.prometheusRule.enabled=true,monitoring.dashboard.enabled=true,\
         secrets.clickhousePassword.name=clickhouse,secrets.httpToken.name=bridge",
    ),
];

/// Kinds that are not Kubernetes' own, in groups whose schemas a package has.
const CUSTOM: [&str; 3] = ["ScaledObject", "ServiceMonitor", "PrometheusRule"];

/// The packages refuse a wrong type and know every key, but let one pass that they do not know.
const CUSTOM_SCHEMAS: &str = r#"
const {readFileSync} = require('fs');
const FROM = {'keda.sh/v1alpha1': 'keda', 'monitoring.coreos.com/v1': 'prometheus-operator'};
const OWN = ['metadata', 'labels', 'annotations', 'selector'];
// A type, with those that it is made of.
const types = (folder, name, seen = new Set()) => {
  if (seen.has(name)) return '';
  seen.add(name);
  const text = readFileSync(`${folder}/${name}.d.ts`, 'utf8');
  const parts = [...text.matchAll(/from "\.\/(\w+)(?:\.js)?"/g)].map(found => types(folder, found[1], seen));
  return text + parts.join('');
};
for (const page of JSON.parse(readFileSync(0))) {
  const folder = `${process.env.NODE_PATH}/@kubernetes-models/${FROM[page.apiVersion]}/${page.apiVersion}`;
  const {[page.kind]: Model} = require(`${folder}/${page.kind}`);
  new Model(page).validate();
  const known = types(folder, page.kind);
  const walk = (value, path) => {
    if (Array.isArray(value)) { value.forEach(one => walk(one, path)); return; }
    if (!value || typeof value !== 'object') return;
    for (const key of Object.keys(value)) {
      if (!new RegExp(`\\b${key}"?\\??:`).test(known)) throw new Error(`${page.kind}: ${path}.${key} is no key of its schema`);
      if (!OWN.includes(key)) walk(value[key], `${path}.${key}`);
    }
  };
  walk(page.spec, 'spec');
}
"#;

pub(super) fn check() -> Result<Finding> {
    let found =
        [tools::helm(), tools::python(), tools::custom()].into_iter().collect::<Result<Vec<_>>>();
    let tools = match found {
        Ok(tools) => tools,
        Err(error) => return Ok(skipped(&format!("{error:#}"))),
    };
    let (helm, python, custom) = (&tools[0], &tools[1], &tools[2]);
    let chart = deploy().join("helm/data-bridge");
    let mut lint = Command::new(helm);
    lint.args(["lint", "--strict", "--quiet"]).arg(&chart);
    if let Err(text) = run_quietly(lint)? {
        return Ok(Err(text));
    }
    let folder = folder("helm")?;
    let mut objects = 0;
    for (name, set) in SHAPES {
        for version in KUBERNETES {
            let mut template = Command::new(helm);
            template.args(["template", "fleet"]).arg(&chart).args([
                "--set",
                set,
                "--kube-version",
                version,
            ]);
            let output = template.output().context("helm does not run")?;
            if !output.status.success() {
                return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
            }
            let file = folder.join(format!("{name}-{version}.yaml"));
            fs::write(&file, &output.stdout)?;
            objects = String::from_utf8_lossy(&output.stdout).matches("\nkind: ").count();
            let mut validate = Command::new("python3");
            validate.args([
                "-m",
                "kubernetes_validate",
                "--strict",
                "--quiet",
                "--no-warn",
                "-k",
                version,
            ]);
            validate.arg(&file).env("PYTHONPATH", python);
            if let Err(text) = run_quietly(validate)? {
                return Ok(Err(format!("{name}, Kubernetes {version}: {text}")));
            }
        }
    }
    let full = folder.join(format!("full-{}.yaml", KUBERNETES[1]));
    for finding in [
        custom_objects(&full, custom)?,
        rules(&full, &folder)?,
        threshold(&full)?,
        too_many(helm, &chart)?,
    ] {
        if finding.is_err() {
            return Ok(finding);
        }
    }
    Ok(Ok(format!("{objects} objects, Kubernetes {} and {}", KUBERNETES[0], KUBERNETES[1])))
}

/// One object of a rendered chart.
fn object(file: &Path, kind: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let mut found = text.split("\n---").filter(|part| part.contains(&format!("\nkind: {kind}\n")));
    Ok(found.next().with_context(|| format!("the chart has no {kind}"))?.to_owned())
}

/// KEDA's and the Prometheus operator's own schemas of theirs.
fn custom_objects(file: &Path, packages: &Path) -> Result<Finding> {
    if !is_there("node") {
        return Ok(skipped("node is not installed: apt-get install nodejs"));
    }
    let objects = CUSTOM.iter().map(|kind| object(file, kind)).collect::<Result<Vec<_>>>()?;
    let page = file.with_file_name("custom-objects.yaml");
    fs::write(&page, objects.join("\n---\n"))?;
    let mut command = Command::new("sh");
    // Python has YAML, Node has the schemas.
    command.arg("-c").arg(
        "python3 -c 'import json,sys,yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)' \
         \"$1\" | node -e \"$2\"",
    );
    command.arg("sh").arg(&page).arg(CUSTOM_SCHEMAS);
    command.env("NODE_PATH", packages.join("node_modules"));
    command.env("PYTHONPATH", tools::python()?);
    run_quietly(command)
}

/// The chart's rules are those that promtool has tested.
fn rules(file: &Path, folder: &Path) -> Result<Finding> {
    let text = object(file, "PrometheusRule")?;
    let (_, groups) = text.split_once("\nspec:\n").context("a PrometheusRule has a spec")?;
    if !is_there("promtool") {
        return Ok(skipped("promtool is not installed: apt-get install prometheus"));
    }
    let page = folder.join("rules.yaml");
    fs::write(&page, groups)?;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "rules"]).arg(&page);
    run_quietly(promtool)
}

/// KEDA wants as many replicas as the lag has thresholds, rounded up: a fourth of at least three from
/// 10,000 on.
fn threshold(file: &Path) -> Result<Finding> {
    let text = object(file, "ScaledObject")?;
    let wanted = "lagThreshold: \"3334\"";
    Ok(if text.contains(wanted) { Ok(String::new()) } else { Err(format!("no {wanted}:\n{text}")) })
}

/// More instances than partitions are refused.
fn too_many(helm: &Path, chart: &Path) -> Result<Finding> {
    let mut template = Command::new(helm);
    template.args(["template", "fleet"]).arg(chart);
    template.args(["--set", "autoscaling.enabled=true,autoscaling.max=7"]);
    Ok(match run_quietly(template)? {
        Err(text) if text.contains("topics have 6 partitions") => Ok(String::new()),
        Err(text) => Err(text),
        Ok(_) => Err("autoscaling.max above the partitions is not refused".to_owned()),
    })
}
