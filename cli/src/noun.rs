//! What the command line has to know of a noun to list, show and find its objects.

use serde::{Serialize, de::DeserializeOwned};

/// Objects of one kind.
pub(crate) trait Noun: Serialize + DeserializeOwned {
    /// What people call one, for instance `site`.
    const NOUN: &'static str;
    /// Where they are, behind `/api/v1/`.
    const PATH: &'static str;
    /// The command that lists them.
    const LIST: &'static str;
    /// The heading of their table.
    const HEADING: &'static [&'static str];
    /// The field that names one beside its number, where the API can filter by it.
    const NAME_FIELD: Option<&'static str>;

    /// Which column of the table holds the number of a site, if one does.
    const SITE_COLUMN: Option<usize> = None;

    /// Whether the list asks for what the leader observes.
    const IS_OBSERVED: bool = false;

    /// Its number.
    fn id(&self) -> u64;
    /// How people know it.
    fn name(&self) -> &str;
    /// Its line in the table.
    fn row(&self) -> Vec<String>;
    /// Everything about it.
    fn details(&self) -> Vec<(&'static str, String)>;

    /// Where it is, for whoever has to tell it from others of its name; nothing where its number tells as much.
    fn place(&self) -> Option<String> {
        None
    }

    /// Why cells of its line are [`UNKNOWN`](crate::output::UNKNOWN), where some are.
    fn unknown(&self) -> Option<String> {
        None
    }

    /// It, in a sentence.
    fn described(&self) -> String {
        match self.name() {
            "" => format!("{} {}", Self::NOUN, self.id()),
            name => format!("{} {} “{name}”", Self::NOUN, self.id()),
        }
    }
}

/// An object with what is observed of it, or why that is not known. It is called, found and told as the object is.
pub(crate) trait Observed: Serialize + DeserializeOwned {
    /// What it is the observation of.
    type Object: Noun;
    /// The heading of the table: that of the objects, and in it USED and FREE.
    const COLUMNS: &'static [&'static str];
    /// Where USED and FREE stand in it.
    const FILLED: usize;

    /// The object.
    fn object(&self) -> &Self::Object;
    /// How it is filled: USED and FREE.
    fn filled(&self) -> [String; 2];
    /// What there is to know beside the object.
    fn observed(&self) -> Vec<(&'static str, String)>;
    /// Why some of its cells are [`UNKNOWN`](crate::output::UNKNOWN), where some are.
    fn unobserved(&self) -> Option<String>;
}

impl<O: Observed> Noun for O {
    const NOUN: &'static str = O::Object::NOUN;
    const PATH: &'static str = O::Object::PATH;
    const LIST: &'static str = O::Object::LIST;
    const HEADING: &'static [&'static str] = O::COLUMNS;
    const NAME_FIELD: Option<&'static str> = O::Object::NAME_FIELD;
    const IS_OBSERVED: bool = true;

    fn id(&self) -> u64 {
        self.object().id()
    }

    fn name(&self) -> &str {
        self.object().name()
    }

    fn row(&self) -> Vec<String> {
        let mut row = self.object().row();
        row.splice(O::FILLED..O::FILLED, self.filled());
        row
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.object().details().into_iter().chain(self.observed()).collect()
    }

    fn place(&self) -> Option<String> {
        self.object().place()
    }

    fn unknown(&self) -> Option<String> {
        self.unobserved()
    }
}
