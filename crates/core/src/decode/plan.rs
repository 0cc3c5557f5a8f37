//! A route made ready: which keys to look for, and how each column is read.

use crate::catalog::{
    Catalog, ColumnType, ExcessDigits, Path, Route, Supply, TextForm, TimeForm, TimeRange,
};

/// Index of a value that the scanner keeps: one per path that the route knows.
pub(super) type Slot = u16;

/// No slot, no node.
pub(super) const NONE: u16 = u16::MAX;

/// All that the scanner and the reader need of a route.
#[derive(Debug)]
pub(super) struct Plan {
    /// Objects of which some keys are known; the first is the message itself.
    nodes: Vec<Node>,
    /// How many slots there are.
    pub(super) slots: usize,
    /// One per column of the table.
    pub(super) columns: Vec<ColumnPlan>,
    /// What must be an object when it is present.
    pub(super) objects: Vec<ObjectPlan>,
}

/// Known keys of one object, by length and bytes.
#[derive(Debug, Default)]
struct Node {
    keys: Vec<(Box<[u8]>, Target)>,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Where its value is kept.
    pub(super) slot: Slot,
    /// The node that describes its object.
    pub(super) child: u16,
    /// One past the last slot of what lies inside: those from `slot` + 1 on.
    pub(super) end: Slot,
}

impl Target {
    /// A key that the route does not know.
    pub(super) const UNKNOWN: Self = Self { slot: NONE, child: NONE, end: NONE };
}

/// A field that holds other fields.
#[derive(Debug)]
pub(super) struct ObjectPlan {
    pub(super) slot: Slot,
    pub(super) name: String,
    pub(super) required: bool,
}

/// How a column is filled.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    pub(super) name: String,
    /// The keys it may come from, for people.
    pub(super) keys: String,
    pub(super) input: Input,
    pub(super) read: Read,
    pub(super) required: bool,
    pub(super) nullable: bool,
}

/// [`Supply`] with slots for paths and indices for names.
#[derive(Debug)]
pub(super) enum Input {
    Slots { slots: Vec<Slot>, subject_token: Option<usize> },
    DateAndTime { date: Slot, time: Slot },
    Origin,
    OriginPosition,
    Version,
    EventId(Vec<usize>),
}

/// How a value is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read {
    Text(TextForm),
    Decimal(DecimalPlan),
    Int { min: i64, max: i64 },
    UInt { max: u64 },
    Float32,
    Float64,
    Bool,
    Time(TimePlan),
    Map,
}

/// How a decimal is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecimalPlan {
    /// Digits that the column keeps behind the point.
    pub(super) scale: i32,
    /// The greatest value, as an integer at that scale.
    pub(super) limit: i128,
    pub(super) excess: ExcessDigits,
}

/// How a time is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimePlan {
    /// Digits that the column keeps behind the second.
    pub(super) precision: u8,
    pub(super) form: TimeForm,
    pub(super) excess: ExcessDigits,
    pub(super) range: TimeRange,
}

impl Plan {
    pub(super) fn new(catalog: &Catalog, route: &Route) -> Self {
        let table = catalog.table(route.table);
        let mut tree = Tree::default();
        for field in &route.fields {
            match &field.from {
                Supply::Json(paths) | Supply::JsonElseSubject(paths, _) => {
                    for path in paths {
                        tree.want(path);
                    }
                }
                Supply::DateAndTime { date, time } => {
                    tree.want(date);
                    tree.want(time);
                }
                Supply::Origin | Supply::OriginPosition | Supply::Version | Supply::EventId(_) => {}
            }
        }
        for path in &route.ignored {
            tree.want(path);
        }
        for path in &route.required_objects {
            tree.insert(path.keys()).object = true;
        }
        let mut plan = Self {
            nodes: vec![Node::default()],
            slots: 0,
            columns: Vec::new(),
            objects: Vec::new(),
        };
        plan.flatten(0, &tree, "");
        for object in &mut plan.objects {
            object.required = route.required_objects.iter().any(|p| p.to_string() == object.name);
        }
        plan.columns = (table.columns.iter().zip(&route.fields))
            .map(|(column, field)| {
                let dated = table.partition.as_ref().is_none_or(|key| key.column == column.name);
                let range = if dated { route.time_range } else { TimeRange::ANY };
                let excess = field.excess_digits;
                ColumnPlan {
                    name: column.name.clone(),
                    keys: keys_for_people(&field.from),
                    input: plan.input(&field.from, |name| table.column(name)),
                    read: match column.kind {
                        ColumnType::Keyword | ColumnType::Text => Read::Text(field.text),
                        ColumnType::Int8 => Read::int(i8::MIN, i8::MAX),
                        ColumnType::Int16 => Read::int(i16::MIN, i16::MAX),
                        ColumnType::Int32 => Read::int(i32::MIN, i32::MAX),
                        ColumnType::Int64 => Read::int(i64::MIN, i64::MAX),
                        ColumnType::UInt8 => Read::UInt { max: u8::MAX.into() },
                        ColumnType::UInt16 => Read::UInt { max: u16::MAX.into() },
                        ColumnType::UInt32 => Read::UInt { max: u32::MAX.into() },
                        ColumnType::UInt64 => Read::UInt { max: u64::MAX },
                        ColumnType::Float32 => Read::Float32,
                        ColumnType::Float64 => Read::Float64,
                        ColumnType::Bool => Read::Bool,
                        ColumnType::Decimal { precision, scale } => Read::Decimal(DecimalPlan {
                            scale: scale.into(),
                            limit: 10_i128.pow(u32::from(precision.min(38))) - 1,
                            excess,
                        }),
                        ColumnType::Time { precision } => {
                            Read::Time(TimePlan { precision, form: field.time, excess, range })
                        }
                        ColumnType::TextMap => Read::Map,
                    },
                    required: field.required,
                    nullable: column.nullable,
                }
            })
            .collect();
        plan
    }

    /// What a key of an object leads to.
    pub(super) fn target(&self, node: u16, key: &[u8]) -> Target {
        let keys = &self.nodes[usize::from(node)].keys;
        let order = |known: &[u8]| (known.len(), known).cmp(&(key.len(), key));
        match keys.binary_search_by(|(known, _)| order(known)) {
            Ok(at) => keys[at].1,
            Err(_) => Target::UNKNOWN,
        }
    }

    /// The first column that the value of a slot may fill.
    pub(super) fn column_of(&self, slot: Slot) -> Option<u16> {
        let column = self.columns.iter().position(|column| match &column.input {
            Input::Slots { slots, .. } => slots.contains(&slot),
            Input::DateAndTime { date, time } => [*date, *time].contains(&slot),
            Input::Origin | Input::OriginPosition | Input::Version | Input::EventId(_) => false,
        });
        column.and_then(|index| u16::try_from(index).ok())
    }

    /// Numbers slots so that those inside an object follow its own without a gap.
    fn flatten(&mut self, node: usize, tree: &Tree, prefix: &str) {
        for (key, branch) in &tree.branches {
            let slot = self.slots;
            self.slots += 1;
            let mut child = NONE;
            if branch.object || !branch.branches.is_empty() {
                let name = format!("{prefix}{key}");
                child = index(self.nodes.len());
                self.nodes.push(Node::default());
                self.flatten(usize::from(child), branch, &format!("{name}."));
                if !branch.wanted {
                    self.objects.push(ObjectPlan { slot: index(slot), name, required: false });
                }
            }
            let target = Target { slot: index(slot), child, end: index(self.slots) };
            self.nodes[node].keys.push((key.as_bytes().into(), target));
        }
        self.nodes[node].keys.sort_unstable_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    }

    fn slot(&self, path: &Path) -> Slot {
        let mut node = 0;
        let mut slot = NONE;
        for key in path.keys() {
            let target = self.target(node, key.as_bytes());
            (node, slot) = (target.child, target.slot);
        }
        slot
    }

    fn input(&self, supply: &Supply, column: impl Fn(&str) -> Option<usize>) -> Input {
        let slots = |paths: &[Path]| paths.iter().map(|path| self.slot(path)).collect();
        match supply {
            Supply::Json(paths) => Input::Slots { slots: slots(paths), subject_token: None },
            Supply::JsonElseSubject(paths, token) => {
                Input::Slots { slots: slots(paths), subject_token: Some(*token) }
            }
            Supply::DateAndTime { date, time } => {
                Input::DateAndTime { date: self.slot(date), time: self.slot(time) }
            }
            Supply::Origin => Input::Origin,
            Supply::OriginPosition => Input::OriginPosition,
            Supply::Version => Input::Version,
            Supply::EventId(names) => {
                Input::EventId(names.iter().filter_map(|name| column(name)).collect())
            }
        }
    }
}

impl Read {
    fn int(min: impl Into<i64>, max: impl Into<i64>) -> Self {
        Self::Int { min: min.into(), max: max.into() }
    }
}

fn index(index: usize) -> u16 {
    let index = u16::try_from(index).ok().filter(|index| *index != NONE);
    index.expect("a route names fewer than 65,535 paths")
}

fn keys_for_people(supply: &Supply) -> String {
    match supply {
        Supply::Json(paths) | Supply::JsonElseSubject(paths, _) => {
            paths.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")
        }
        Supply::DateAndTime { date, time } => format!("{date} and {time}"),
        Supply::Origin | Supply::OriginPosition | Supply::Version | Supply::EventId(_) => {
            String::new()
        }
    }
}

/// The known paths as a tree.
#[derive(Default)]
struct Tree {
    branches: Vec<(String, Tree)>,
    /// A column is filled from the value itself.
    wanted: bool,
    /// It must be an object even if nothing inside is known.
    object: bool,
}

impl Tree {
    fn insert(&mut self, keys: &[String]) -> &mut Self {
        let Some((key, rest)) = keys.split_first() else {
            return self;
        };
        let at = self.branches.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
            self.branches.push((key.clone(), Self::default()));
            self.branches.len() - 1
        });
        self.branches[at].1.insert(rest)
    }

    fn want(&mut self, path: &Path) {
        self.insert(path.keys()).wanted = true;
    }
}
