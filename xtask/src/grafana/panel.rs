//! Rows and panels, and the JSON that Grafana wants for them.

use serde_json::{Value, json};

/// Grafana's grid is that wide.
const WIDTH: usize = 24;
const NUMBER_HEIGHT: usize = 4;
const HEIGHT: usize = 8;
/// Panels beside each other.
const BESIDE: usize = 3;

pub(super) fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Panels under one heading.
pub(super) struct Row {
    title: &'static str,
    panels: Vec<Panel>,
}

impl Row {
    pub(super) fn new(title: &'static str, panels: Vec<Panel>) -> Self {
        Self { title, panels }
    }

    /// Adds the row at height `top`, with `of` as the selection of each query; the height below it.
    pub(super) fn place(self, top: usize, of: &str, to: &mut Vec<Value>) -> usize {
        to.push(json!({
            "type": "row", "title": self.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": top, "w": WIDTH, "h": 1 },
        }));
        let numbers = self.panels.iter().all(|panel| matches!(panel.kind, Kind::Number(_)));
        let beside = if numbers { self.panels.len() } else { BESIDE.min(self.panels.len()) };
        let height = if numbers { NUMBER_HEIGHT } else { HEIGHT };
        let width = WIDTH / beside;
        let count = self.panels.len();
        for (index, panel) in self.panels.into_iter().enumerate() {
            let (line, column) = (index / beside, index % beside);
            let mut json = panel.json(of);
            json["gridPos"] = json!({
                "x": column * width, "y": top + 1 + line * height, "w": width, "h": height,
            });
            to.push(json);
        }
        top + 1 + count.div_ceil(beside) * height
    }
}

pub(super) struct Panel {
    title: &'static str,
    kind: Kind,
    /// Legend and query.
    queries: Vec<(String, String)>,
}

enum Kind {
    Number(Red),
    Lines { unit: &'static str },
    Heatmap,
    Table,
}

enum Red {
    Never,
    Below(f64),
    From(f64),
}

impl Panel {
    pub(super) fn number(title: &'static str, query: &str) -> Self {
        Self::one(title, Kind::Number(Red::Never), query)
    }

    pub(super) fn lines(title: &'static str, unit: &'static str) -> Self {
        Self { title, kind: Kind::Lines { unit }, queries: Vec::new() }
    }

    pub(super) fn heatmap(title: &'static str, query: &str) -> Self {
        Self::one(title, Kind::Heatmap, query)
    }

    pub(super) fn table(title: &'static str, query: &str) -> Self {
        Self::one(title, Kind::Table, query)
    }

    fn one(title: &'static str, kind: Kind, query: &str) -> Self {
        Self { title, kind, queries: vec![(String::new(), query.to_owned())] }
    }

    pub(super) fn query(mut self, legend: &str, query: &str) -> Self {
        self.queries.push((legend.to_owned(), query.to_owned()));
        self
    }

    /// Median, 99 and 99.9 percent of a histogram's buckets.
    pub(super) fn quantiles(mut self, buckets: &str) -> Self {
        for (legend, quantile) in [("p50", "0.5"), ("p99", "0.99"), ("p99.9", "0.999")] {
            let rate = format!("rate({buckets}{{OF}}[$__rate_interval])");
            let query = format!("histogram_quantile({quantile}, sum by (le) ({rate}))");
            self.queries.push((legend.to_owned(), query));
        }
        self
    }

    pub(super) fn reddens_below(self, limit: f64) -> Self {
        Self { kind: Kind::Number(Red::Below(limit)), ..self }
    }

    pub(super) fn reddens_from(self, limit: f64) -> Self {
        Self { kind: Kind::Number(Red::From(limit)), ..self }
    }

    fn json(self, of: &str) -> Value {
        let (shape, format) = match self.kind {
            Kind::Number(_) | Kind::Lines { .. } => ("time_series", false),
            Kind::Heatmap => ("heatmap", false),
            Kind::Table => ("table", true),
        };
        let targets = self.queries.iter().zip('A'..).map(|((legend, query), letter)| {
            json!({
                "refId": letter, "datasource": source(), "expr": query.replace("{OF}", &format!("{{{of}}}")),
                "legendFormat": legend, "format": shape, "instant": format, "range": !format,
            })
        });
        let mut panel = json!({
            "title": self.title, "datasource": source(), "targets": targets.collect::<Vec<_>>(),
        });
        let (kind, defaults, options) = self.kind.looks();
        panel["type"] = json!(kind);
        panel["fieldConfig"] = json!({ "defaults": defaults, "overrides": [] });
        panel["options"] = options;
        if matches!(self.kind, Kind::Table) {
            panel["transformations"] = json!([
                { "id": "organize", "options": { "excludeByName": { "Time": true, "Value": true } } },
            ]);
        }
        panel
    }
}

impl Kind {
    /// Grafana's name of the panel, its field defaults and its options.
    fn looks(&self) -> (&'static str, Value, Value) {
        match self {
            Self::Number(red) => {
                let options = json!({
                    "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                    "colorMode": "background", "graphMode": "area", "textMode": "auto",
                    "justifyMode": "auto", "orientation": "auto",
                });
                ("stat", json!({ "unit": "short", "thresholds": red.thresholds() }), options)
            }
            Self::Lines { unit } => {
                let options = json!({
                    "legend": { "showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": [] },
                    "tooltip": { "mode": "multi", "sort": "desc" },
                });
                let custom = json!({ "fillOpacity": 8, "lineWidth": 1, "showPoints": "never" });
                ("timeseries", json!({ "unit": unit, "min": 0, "custom": custom }), options)
            }
            Self::Heatmap => {
                let options = json!({
                    "calculate": false, "yAxis": { "axisPlacement": "left" },
                    "color": { "mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5 },
                    "cellGap": 1, "tooltip": { "mode": "single", "yHistogram": true },
                    "legend": { "show": true }, "filterValues": { "le": 1e-9 },
                });
                ("heatmap", json!({}), options)
            }
            Self::Table => {
                let options = json!({ "showHeader": true, "cellHeight": "sm" });
                ("table", json!({}), options)
            }
        }
    }
}

impl Red {
    fn thresholds(&self) -> Value {
        let steps = match self {
            Self::Never => json!([{ "color": "blue", "value": null }]),
            Self::Below(limit) => {
                json!([{ "color": "red", "value": null }, { "color": "green", "value": limit }])
            }
            Self::From(limit) => {
                json!([{ "color": "green", "value": null }, { "color": "red", "value": limit }])
            }
        };
        json!({ "mode": "absolute", "steps": steps })
    }
}
