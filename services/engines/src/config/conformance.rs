//! What every config store must do. An engine runs it with [`config_store_conformance!`](crate::config_store_conformance),
//! which makes one test of each function here.
//!
//! Each function takes a fresh, empty store.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use super::{Change, Commit, ConfigEntry, ConfigStore, Written};

/// Makes one test of each requirement. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, Arc<dyn ConfigStore>)>`; the guard keeps what the store needs (a folder, a server) alive.
#[macro_export]
macro_rules! config_store_conformance {
    ($make:path) => {
        $crate::conformance_tests!(
            $make,
            [$crate::config::conformance],
            a_key_is_read_as_it_was_written,
            revisions_are_global_and_grow,
            an_absent_guard_holds_only_without_the_key,
            a_revision_guard_holds_only_at_that_revision,
            a_vacancy_guard_holds_only_without_keys_under_the_prefix,
            a_refused_change_does_nothing_and_names_the_guard,
            puts_and_deletes_of_a_change_are_one_revision,
            a_list_is_in_byte_order_and_pages_without_gaps,
            a_prefix_is_taken_literally,
            of_changes_that_race_for_a_key_one_wins,
            a_change_that_no_engine_takes_is_refused,
            a_key_made_again_never_has_a_revision_it_had,
            what_was_written_since_is_under_the_prefix_and_oldest_first,
            whoever_asks_what_was_written_since_misses_nothing,
        );
    };
}

type Store = Arc<dyn ConfigStore>;

fn change(build: impl FnOnce(&mut Change)) -> Change {
    let mut change = Change::new();
    build(&mut change);
    change
}

async fn done(store: &Store, build: impl FnOnce(&mut Change)) -> Result<i64> {
    match store.commit(change(build)).await? {
        Commit::Done { revision } => Ok(revision),
        Commit::Refused { key } => bail!("refused because of {key}"),
    }
}

async fn refused(store: &Store, build: impl FnOnce(&mut Change)) -> Result<String> {
    match store.commit(change(build)).await? {
        Commit::Done { .. } => bail!("it should have been refused"),
        Commit::Refused { key } => Ok(key),
    }
}

async fn keys(store: &Store, prefix: &str) -> Result<Vec<String>> {
    Ok(store.list(prefix, None, 1000).await?.into_iter().map(|entry| entry.key).collect())
}

/// A key is read as it was written, byte for byte; one that was never written is not there.
pub async fn a_key_is_read_as_it_was_written(store: Store) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).collect();
    let revision = done(&store, |c| {
        c.put("ä/€", bytes.clone()).put("empty", b"");
    })
    .await?;
    ensure!(store.get("ä/€").await? == Some(ConfigEntry { key: "ä/€".to_owned(), value: bytes, revision }));
    ensure!(store.get("empty").await?.is_some_and(|entry| entry.value.is_empty()));
    ensure!(store.get("none").await?.is_none());
    Ok(())
}

/// The revision belongs to the store, not the key, and grows with every commit.
pub async fn revisions_are_global_and_grow(store: Store) -> Result<()> {
    let before = store.revision().await?;
    let first = done(&store, |c| {
        c.put("a", b"1");
    })
    .await?;
    let second = done(&store, |c| {
        c.put("b", b"1");
    })
    .await?;
    ensure!(before < first && first < second);
    ensure!(store.revision().await? == second);
    ensure!(store.get("a").await?.is_some_and(|entry| entry.revision == first));
    Ok(())
}

/// `absent` holds before a key is written and after it was deleted, not in between.
pub async fn an_absent_guard_holds_only_without_the_key(store: Store) -> Result<()> {
    let create = |c: &mut Change| {
        c.absent("a").put("a", b"1");
    };
    done(&store, create).await?;
    ensure!(refused(&store, create).await? == "a");
    done(&store, |c| {
        c.delete("a");
    })
    .await?;
    done(&store, create).await?;
    Ok(())
}

/// `at` holds only for the revision the key has now; never for a key that is not there.
pub async fn a_revision_guard_holds_only_at_that_revision(store: Store) -> Result<()> {
    let first = done(&store, |c| {
        c.put("a", b"1");
    })
    .await?;
    let second = done(&store, |c| {
        c.at("a", first).put("a", b"2");
    })
    .await?;
    let stale = |c: &mut Change| {
        c.at("a", first).put("a", b"3");
    };
    ensure!(refused(&store, stale).await? == "a");
    ensure!(
        refused(&store, |c| {
            c.at("none", second).put("none", b"1");
        })
        .await?
            == "none"
    );
    ensure!(store.get("a").await?.is_some_and(|entry| entry.value == b"2"));
    Ok(())
}

/// `vacant` holds only while no key begins with the prefix.
pub async fn a_vacancy_guard_holds_only_without_keys_under_the_prefix(store: Store) -> Result<()> {
    done(&store, |c| {
        c.put("uses/a", b"").put("uses/c/1", b"");
    })
    .await?;
    done(&store, |c| {
        c.vacant("uses/b/").put("gone/b", b"");
    })
    .await?;
    let drop_c = |c: &mut Change| {
        c.vacant("uses/c/").put("gone/c", b"");
    };
    ensure!(refused(&store, drop_c).await? == "uses/c/");
    done(&store, |c| {
        c.delete("uses/c/1");
    })
    .await?;
    done(&store, drop_c).await?;
    Ok(())
}

/// One guard that does not hold refuses everything, and the answer names it.
pub async fn a_refused_change_does_nothing_and_names_the_guard(store: Store) -> Result<()> {
    done(&store, |c| {
        c.put("there", b"1").put("kept", b"1");
    })
    .await?;
    let before = store.revision().await?;
    let key = refused(&store, |c| {
        c.absent("new").absent("there").absent("kept").put("new", b"1").put("there", b"2").delete("kept");
    })
    .await?;
    ensure!(key == "there", "{key}");
    ensure!(store.revision().await? == before);
    ensure!(keys(&store, "").await? == ["kept", "there"]);
    ensure!(store.get("there").await?.is_some_and(|entry| entry.value == b"1"));
    Ok(())
}

/// All of a change has one revision; deleting what is not there is no failure.
pub async fn puts_and_deletes_of_a_change_are_one_revision(store: Store) -> Result<()> {
    done(&store, |c| {
        c.put("old", b"1");
    })
    .await?;
    let revision = done(&store, |c| {
        c.put("a", b"1").put("b", b"2").delete("old").delete("never");
    })
    .await?;
    let entries = store.list("", None, 10).await?;
    ensure!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>() == ["a", "b"]);
    ensure!(entries.iter().all(|entry| entry.revision == revision));
    ensure!(store.count("").await? == 2);
    Ok(())
}

/// Lists are in the byte order of the keys; `after` and `limit` page through them.
pub async fn a_list_is_in_byte_order_and_pages_without_gaps(store: Store) -> Result<()> {
    let sorted = ["t/A", "t/B/x", "t/a", "t/a-1", "t/a/b", "t/é", "t/€"];
    for key in sorted.iter().rev() {
        done(&store, |c| {
            c.put(*key, b"");
        })
        .await?;
    }
    let mut seen = Vec::new();
    loop {
        let after = seen.last().cloned();
        let page = store.list("t/", after.as_deref(), 2).await?;
        ensure!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|entry: ConfigEntry| entry.key));
    }
    ensure!(seen == sorted, "{seen:?}");
    Ok(())
}

/// `%`, `_` and `*` in a prefix stand for themselves, and case matters.
pub async fn a_prefix_is_taken_literally(store: Store) -> Result<()> {
    done(&store, |c| {
        c.put("a%b", b"").put("axb", b"").put("a_b", b"").put("A%b", b"").put("a%", b"");
    })
    .await?;
    ensure!(keys(&store, "a%").await? == ["a%", "a%b"]);
    ensure!(keys(&store, "a_").await? == ["a_b"]);
    ensure!(store.count("a").await? == 4);
    ensure!(store.list("a%b%", None, 10).await?.is_empty());
    Ok(())
}

/// However many try at once, a guarded key is written once.
pub async fn of_changes_that_race_for_a_key_one_wins(store: Store) -> Result<()> {
    let racers: Vec<_> = (0..16)
        .map(|n: u8| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .commit(change(|c| {
                        c.absent("a").put("a", [n]).put(format!("won/{n}"), b"");
                    }))
                    .await
            })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(matches!(racer.await??, Commit::Done { .. }));
    }
    ensure!(winners == 1, "{winners} won");
    ensure!(store.count("won/").await? == 1);
    Ok(())
}

/// What [`Change::check`] refuses is refused by the engine too.
pub async fn a_change_that_no_engine_takes_is_refused(store: Store) -> Result<()> {
    for bad in [
        Change::new(),
        change(|c| {
            c.put("a", b"1").put("a", b"2");
        }),
        change(|c| {
            c.put("a\0", b"1");
        }),
    ] {
        ensure!(matches!(store.commit(bad).await, Err(crate::StoreError::Invalid(_))));
    }
    ensure!(keys(&store, "").await?.is_empty());
    Ok(())
}

/// A key that is deleted and made again, however often, has a revision that it never had before, and nothing that was
/// guarded by an earlier one happens to it.
pub async fn a_key_made_again_never_has_a_revision_it_had(store: Store) -> Result<()> {
    let mut had = Vec::new();
    for life in 0..20_u8 {
        let made = done(&store, |c| {
            c.absent("t/a").put("t/a", [life]);
        })
        .await?;
        ensure!(had.iter().all(|earlier| *earlier < made), "{made} after {had:?}");
        for earlier in &had {
            let of_an_earlier_life = refused(&store, |c| {
                c.at("t/a", *earlier).put("t/a", b"stale");
            });
            ensure!(of_an_earlier_life.await? == "t/a");
        }
        had.push(made);
        if life % 2 == 0 {
            let changed = done(&store, |c| {
                c.at("t/a", made).put("t/a", b"changed");
            });
            had.push(changed.await?);
        }
        done(&store, |c| {
            c.delete("t/a");
        })
        .await?;
    }
    Ok(())
}

/// Written since a revision are the latest entries of what is still there, under the prefix alone, by revision.
pub async fn what_was_written_since_is_under_the_prefix_and_oldest_first(store: Store) -> Result<()> {
    ensure!(store.written_since("t/", 0).await?.entries.is_empty());
    let before = done(&store, |c| {
        c.put("t/b", b"1").put("t/old", b"1");
    })
    .await?;
    done(&store, |c| {
        c.put("s/x", b"1").put("t", b"1").put("u", b"1").put("t/gone", b"1");
    })
    .await?;
    done(&store, |c| {
        c.put("t/z", b"1").put("t/a", b"1").delete("t/gone");
    })
    .await?;
    let last = done(&store, |c| {
        c.put("t/b", b"2");
    })
    .await?;
    let Written { entries: written, head } = store.written_since("t/", before).await?;
    ensure!(head == store.revision().await?);
    ensure!(written.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>() == ["t/a", "t/z", "t/b"], "{written:?}");
    ensure!(written.last().is_some_and(|entry| entry.value == b"2" && entry.revision == last));
    ensure!(store.written_since("t/", last).await?.entries.is_empty());
    ensure!(store.written_since("t/", 0).await?.entries.len() == 4);
    Ok(())
}

/// However fast keys change, whoever asks from the last revision they saw on ends up with what the store holds.
pub async fn whoever_asks_what_was_written_since_misses_nothing(store: Store) -> Result<()> {
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..60_u8 {
                let put = change(|c| {
                    c.put(format!("t/{}", n % 7), [n]);
                });
                store.commit(put).await?;
            }
            anyhow::Ok(())
        })
    };
    let mut mirror = std::collections::BTreeMap::new();
    let mut last = 0;
    loop {
        let over = writer.is_finished();
        let Written { entries, head } = store.written_since("t/", last).await?;
        ensure!(head >= last && entries.iter().all(|entry| entry.revision <= head), "revisions went back");
        last = head;
        mirror.extend(entries.into_iter().map(|entry| (entry.key, entry.value)));
        if over {
            break;
        }
    }
    writer.await??;
    let truth: std::collections::BTreeMap<_, _> =
        store.list("t/", None, 100).await?.into_iter().map(|entry| (entry.key, entry.value)).collect();
    ensure!(mirror == truth, "{mirror:?} is not {truth:?}");
    Ok(())
}
