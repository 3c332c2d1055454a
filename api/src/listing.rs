//! Lists: filtered, sorted, in pages that stay right while objects come and go.
//!
//! A page token names the last object that was shown, so the next page goes on behind it whatever has happened meanwhile: an
//! object that exists all the while is listed exactly once.

use std::{cmp::Ordering, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bursar_domain::{Epoch, Hash, State, table::Table};
use bursar_wire::{
    FieldError,
    page::Page,
    query::{self, Filter, ListQuery},
};

use crate::{
    failure::Failure,
    fault::abridged,
    resource::{Field, PRESENT, Resource, View},
};

/// What is asked of a list.
pub(crate) struct Selection<R: Resource> {
    filter: Option<(&'static Field<R>, Filter)>,
    sort: Sort,
    limit: usize,
    page_token: Option<String>,
    /// What page tokens are bound to: the filter and the order, as they were asked for.
    binding: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sort {
    by_name: bool,
    descending: bool,
}

impl Sort {
    fn parse<R: Resource>(sort: query::Sort) -> Result<Self, Failure> {
        let by_name = match (sort.field.as_str(), R::FOLDED_NAME) {
            ("id", _) => false,
            ("name", Some(_)) => true,
            (_, Some(_)) => return Err(Failure::malformed_part(FieldError::new("?sort", "must be id, -id, name or -name"))),
            (_, None) => return Err(Failure::malformed_part(FieldError::new("?sort", "must be id or -id"))),
        };
        Ok(Self { by_name, descending: sort.descending })
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, if self.by_name { "name" } else { "id" })
    }
}

/// The place of an object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Empty where the list goes by id.
    name: String,
    id: u64,
}

impl<R: Resource> Selection<R> {
    /// Understands a query.
    pub(crate) fn of(query: ListQuery) -> Result<Self, Failure> {
        let sort = query.sort().map(Sort::parse::<R>).transpose()?.unwrap_or_default();
        let filter = query.filter.as_deref().map(condition).transpose().map_err(Failure::malformed_part)?;
        let limit = query.limit().map_err(Failure::malformed_part)?;
        let binding = format!("{sort} {}", query.filter.unwrap_or_default());
        Ok(Self { filter, sort, limit, page_token: query.page_token, binding })
    }

    /// The page that is asked for, each object as `show` has it.
    pub(crate) fn page<S>(&self, view: &View, show: impl Fn(&R) -> S) -> Result<Page<S>, Failure> {
        let behind = self.page_token.as_deref().map(|token| self.place_of(token, view)).transpose()?;
        let mut matching = self.ordered(R::table(view), behind).filter(|row| self.admits(row));
        let rows: Vec<_> = matching.by_ref().take(self.limit).collect();
        let goes_on = matching.next().is_some();
        let next_page_token = rows.last().filter(|_| goes_on).map(|last| self.token(view.epoch(), &self.place(last)));
        let items = rows.into_iter().map(|row| show(row)).collect();
        Ok(Page { items, next_page_token, revision: view.cursor().to_string() })
    }

    fn admits(&self, row: &R) -> bool {
        let asks_for_former = self.filter.as_ref().is_some_and(|(field, _)| field.name == PRESENT);
        let meets_filter = self.filter.as_ref().is_none_or(|(field, filter)| filter.admits(&(field.value)(row)));
        meets_filter && (asks_for_former || row.is_current())
    }

    fn ordered<'t>(&self, table: &'t Table<R>, behind: Option<Place>) -> Box<dyn Iterator<Item = &'t Arc<R>> + 't> {
        if self.sort.by_name {
            return self.ordered_by_name(table, behind);
        }
        match (self.sort.descending, behind) {
            (false, None) => Box::new(table.iter()),
            (false, Some(place)) => Box::new(table.after(R::Id::from(place.id))),
            (true, None) => Box::new(table.iter().rev()),
            (true, Some(place)) => Box::new(table.iter().rev().skip_while(move |row| number(row.as_ref()) >= place.id)),
        }
    }

    fn ordered_by_name<'t>(&self, table: &'t Table<R>, behind: Option<Place>) -> Box<dyn Iterator<Item = &'t Arc<R>> + 't> {
        let descending = self.sort.descending;
        let compare = move |one: &Place, other: &Place| {
            let ascending = (&one.name, one.id).cmp(&(&other.name, other.id));
            if descending { ascending.reverse() } else { ascending }
        };
        let mut places: Vec<_> = table.iter().map(|row| (self.place(row), row)).collect();
        if let Some(behind) = behind {
            places.retain(|(place, _)| compare(place, &behind) == Ordering::Greater);
        }
        places.sort_unstable_by(|(one, _), (other, _)| compare(one, other));
        Box::new(places.into_iter().map(|(_, row)| row))
    }

    fn place(&self, row: &R) -> Place {
        let name = R::FOLDED_NAME.filter(|_| self.sort.by_name).map(|name| name(row));
        Place { name: name.unwrap_or_default(), id: number(row) }
    }

    /// `<epoch>-<seal, id and name in base64url>`.
    fn token(&self, epoch: Epoch, place: &Place) -> String {
        let mut bytes = self.seal(place).to_vec();
        bytes.extend_from_slice(&place.id.to_be_bytes());
        bytes.extend_from_slice(place.name.as_bytes());
        format!("{epoch}-{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    fn place_of(&self, token: &str, state: &State) -> Result<Place, Failure> {
        let place = || {
            let (epoch, payload) = token.split_once('-')?;
            let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
            let (seal, rest) = bytes.split_first_chunk::<SEAL_BYTES>()?;
            let (id, name) = rest.split_first_chunk::<8>()?;
            let place = Place { name: String::from_utf8(name.to_vec()).ok()?, id: u64::from_be_bytes(*id) };
            (epoch == state.epoch().to_string() && *seal == self.seal(&place)).then_some(place)
        };
        place().ok_or_else(Failure::invalid_page_token)
    }

    /// Binds a token to the list that it was given for. It guards against mistakes, not against forgers: there is nothing that
    /// a forged place would show and an honest one would not.
    fn seal(&self, place: &Place) -> [u8; SEAL_BYTES] {
        let mut bytes = vec![R::KIND as u8];
        for part in [self.binding.as_bytes(), &place.id.to_be_bytes(), place.name.as_bytes()] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        *Hash::of(&bytes).0.first_chunk().expect("a hash is longer than a seal")
    }
}

const SEAL_BYTES: usize = 8;

/// The condition that a text is, with its field.
///
/// # Errors
/// One that tells how a condition looks, with an example, the fields that there are, or the values that the field can have.
pub(crate) fn condition<R: Resource>(text: &str) -> Result<(&'static Field<R>, Filter), FieldError> {
    let wrong = |what: String| {
        let names: Vec<_> = R::FIELDS.iter().map(|field| field.name).collect();
        let example = R::FIELDS.iter().find_map(Field::example).unwrap_or_else(|| "name~east".to_owned());
        FieldError::new("?filter", format!("{what}; it knows {}, as in {example}", names.join(", ")))
    };
    let filter = Filter::parse(text).map_err(|error| wrong(error.detail))?;
    let field = R::FIELDS.iter().find(|field| field.name == filter.field);
    let field = field.ok_or_else(|| wrong(format!("knows no field {}", abridged(&filter.field))))?;
    field.takes(&filter)?;
    Ok((field, filter))
}

fn number<R: Resource>(row: &R) -> u64 {
    row.id().into().number()
}
