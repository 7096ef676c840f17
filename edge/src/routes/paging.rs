//! Pages of collections so small that their service hands them over all at once.

use axum::Json;
use runwarden_kit::context;
use runwarden_kit::page::{self, Listing};
use runwarden_kit::tenant::TenantId;

use super::answer::Page;
use crate::extract::query::PageParams;
use crate::problem::Result;

/// What page tokens of a collection are good for: the tenant that the request being served is about.
pub(super) fn listing(collection: &str) -> Listing {
    let context = context::current();
    let own = context.caller.as_ref().and_then(|caller| caller.tenant());
    Listing::of(collection, context.tenant.as_deref().or(own.map(TenantId::as_str)))
}

/// The requested page. `key` orders the items and is unique, so that a page begins where the one before it ended, even
/// if the item there was removed since.
pub(super) fn cut<P, T: From<P>>(
    listing: &Listing,
    mut items: Vec<P>,
    params: &PageParams,
    key: fn(&P) -> String,
) -> Result<Json<Page<T>>> {
    let size = page::size(params.page_size)?;
    items.sort_by_cached_key(key);
    let last = listing.after(&params.page_token)?;
    let first = last.map_or(0, |last| items.partition_point(|item| key(item) <= last));
    let page = listing.cut(items.split_off(first), size, key).map(T::from);
    Ok(Json(Page { items: page.items, next_page_token: page.next }))
}

#[cfg(test)]
mod tests {
    use super::{Listing, PageParams, cut};

    fn ask_of(items: &[&str], page_size: i32, page_token: &str) -> (Vec<String>, String) {
        let params = PageParams { page_size, page_token: page_token.into() };
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        let page = cut::<String, String>(&Listing::of("roles", None), items, &params, String::clone).unwrap().0;
        (page.items, page.next_page_token)
    }

    fn ask(page_size: i32, page_token: &str) -> (Vec<String>, String) {
        ask_of(&["b", "a", "c"], page_size, page_token)
    }

    #[test]
    fn a_page_goes_on_where_an_item_was_removed() {
        let (_, token) = ask(2, "");
        assert_eq!(ask_of(&["a", "c"], 2, &token).0, ["c"]);
        assert_eq!(ask_of(&["a", "b"], 2, &token).0, [""; 0]);
    }

    #[test]
    fn pages_hold_every_item_once_and_the_last_has_no_token() {
        let (first, token) = ask(2, "");
        let (second, end) = ask(2, &token);
        assert_eq!([first, second].concat(), ["a", "b", "c"]);
        assert_eq!(end, "");
        assert_eq!(ask(3, ""), (vec!["a".into(), "b".into(), "c".into()], String::new()));
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let roles = Listing::of("roles", Some("acme"));
        for token in [Listing::of("policies", Some("acme")).token("a"), "YQ".into()] {
            let params = PageParams { page_size: 2, page_token: token };
            let refused = cut::<String, String>(&roles, vec!["a".into()], &params, String::clone).unwrap_err();
            assert_eq!(refused.error().fields()[0].pointer, "/page_token");
        }
    }
}
