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
