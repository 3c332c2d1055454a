//! Query parameters. Unknown ones are refused, like unknown fields.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    FieldError,
    page::{PAGE_ITEMS, PAGE_ITEMS_MAX},
};

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// It sees everything that was acknowledged before it began. It needs a quorum.
    #[default]
    Linearizable,
    /// It sees what the answering node has, which may be old. It needs nobody else.
    Stale,
}

/// The parameters of a read of the present alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PresentQuery {
    /// How fresh the answer has to be; by default linearizable.
    #[serde(default)]
    #[param(inline, default = "linearizable")]
    pub consistency: Consistency,
    /// A cursor that the answer must have seen, for instance the `X-Bursar-Revision` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<String>,
}

/// The parameters of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadQuery {
    /// How fresh the answer has to be; by default linearizable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline, default = "linearizable")]
    pub consistency: Option<Consistency>,
    /// A cursor that the answer must have seen, for instance the `X-Bursar-Revision` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<String>,
    /// The revision, a number or a cursor, as of which to answer: how things were then, within the history that is kept. It goes
    /// with neither `consistency` nor `min_revision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
}

/// The parameters of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The most items on the page: 1 to 1,000, by default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
    /// One condition: `field=value` for equality or `field~value` for containment, ASCII letters folded, for instance `name~east`.
    /// The description of the list says which fields it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// A field to sort by, with `-` before it for the descending order, for instance `-name`; by default `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Whether each item comes with what the leader observes of it; by default it does not. Known to the lists of servers and of
    /// store points alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(default = false)]
    pub observed: Option<bool>,
    /// How fresh the answer has to be; by default linearizable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline, default = "linearizable")]
    pub consistency: Option<Consistency>,
    /// A cursor that the answer must have seen, for instance the `X-Bursar-Revision` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_revision: Option<String>,
    /// The revision, a number or a cursor, as of which to answer: how things were then, within the history that is kept. It goes
    /// with neither `consistency` nor `min_revision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
}

/// The parameters of a mutation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MutationQuery {
    /// Whether to change nothing and to tell the events that it would append.
    #[serde(default)]
    #[param(default = false)]
    pub dry_run: bool,
}

/// The parameters of the event stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The cursor behind which to begin; by default the head. A `Last-Event-ID` header comes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only events of this kind, for instance `destination.edited`, or of this noun, for instance `destination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only events of this object, `<kind>:<id>`, for instance `destination:3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether to go on at the head, and wait for what is to come; by default it does. Otherwise a bookmark at the head is the last item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(default = true)]
    pub follow: Option<bool>,
}

/// The parameters of the readiness check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadinessQuery {
    /// Present, with any value or none: tell every check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose: Option<String>,
}

/// Which version of the state is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version<'q> {
    /// How things are.
    Present(PresentQuery),
    /// How they were at this revision.
    AsOf(&'q str),
}

impl ReadQuery {
    /// How things are, as far as the answering node knows; it needs nobody else.
    pub fn stale() -> Self {
        Self { consistency: Some(Consistency::Stale), ..Self::default() }
    }

    /// Which version is asked for. The past does not change, so that it could not be fresh.
    pub fn version(&self) -> Result<Version<'_>, FieldError> {
        let Self { consistency, min_revision, as_of } = self;
        match as_of {
            None => {
                let consistency = consistency.unwrap_or_default();
                Ok(Version::Present(PresentQuery { consistency, min_revision: min_revision.clone() }))
            }
            Some(revision) if consistency.is_none() && min_revision.is_none() => Ok(Version::AsOf(revision)),
            Some(_) => Err(FieldError::new("?as_of", "goes with neither consistency nor min_revision: the past does not change")),
        }
    }
}

impl ListQuery {
    /// The part that it has in common with every read.
    pub fn read(&self) -> ReadQuery {
        let Self { consistency, min_revision, as_of, .. } = self;
        ReadQuery { consistency: *consistency, min_revision: min_revision.clone(), as_of: as_of.clone() }
    }

    /// The most items on the page.
    pub fn limit(&self) -> Result<usize, FieldError> {
        let limit = self.limit.unwrap_or(PAGE_ITEMS);
        if (1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Ok(limit as usize);
        }
        Err(FieldError::new("?limit", format!("must be from 1 to {PAGE_ITEMS_MAX}")))
    }

    /// The order, where one is asked for. Whether its field is known is the list's to say.
    pub fn sort(&self) -> Option<Sort> {
        let text = self.sort.as_deref()?;
        let (field, descending) = text.strip_prefix('-').map_or((text, false), |field| (field, true));
        Some(Sort { field: field.to_owned(), descending })
    }
}

/// A condition on the items of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The field that it is about.
    pub field: String,
    test: Test,
    folded: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equals,
    Contains,
}

impl Filter {
    /// Reads `field=value` or `field~value`; all behind the operator is the value. Whether the field is known is the list's to say.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let operator = text.find(['=', '~']).filter(|&at| at > 0);
        let at = operator.ok_or_else(|| FieldError::new("?filter", "must look like field=value or field~value"))?;
        let test = if text[at..].starts_with('=') { Test::Equals } else { Test::Contains };
        Ok(Self { field: text[..at].to_owned(), test, folded: text[at + 1..].to_ascii_lowercase() })
    }

    /// What the field's value is compared with, in lower case.
    pub fn value(&self) -> &str {
        &self.folded
    }

    /// Whether an item whose field has this value meets it.
    pub fn admits(&self, value: &str) -> bool {
        let value = value.to_ascii_lowercase();
        match self.test {
            Test::Equals => value == self.folded,
            Test::Contains => value.contains(&self.folded),
        }
    }
}

/// The order of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The field to sort by.
    pub field: String,
    /// Whether the greatest comes first.
    pub descending: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_folds_ascii_letters_and_nothing_else() {
        let equal = Filter::parse("name=Est=Ouest").unwrap();
        assert_eq!(equal.field, "name");
        assert!(equal.admits("EST=OUEST") && !equal.admits("est"));
        let contained = Filter::parse("name~É").unwrap();
        assert!(contained.admits("École É") && !contained.admits("é"));
        for wrong in ["", "name", "=east"] {
            assert_eq!(Filter::parse(wrong).unwrap_err().pointer, "?filter");
        }
    }

    #[test]
    fn a_page_has_a_bound() {
        let limit = |limit| ListQuery { limit, ..ListQuery::default() }.limit();
        assert_eq!(limit(None).unwrap(), 100);
        assert_eq!(limit(Some(1000)).unwrap(), 1000);
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
    }

    #[test]
    fn a_minus_turns_the_order_round() {
        let sort = |text: &str| ListQuery { sort: Some(text.into()), ..ListQuery::default() }.sort().unwrap();
        assert_eq!(sort("-name"), Sort { field: "name".into(), descending: true });
        assert_eq!(sort("name"), Sort { field: "name".into(), descending: false });
    }
}
