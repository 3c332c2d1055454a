//! What rests in a storage server's data directory, and in its store points, held to files that were written down once.
//!
//! Nothing writes the files in `corpus/`: one is added with a new format, and none ever changed. Keys and
//! certificates are PEM, as everybody's.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{path::Path, sync::Arc};

use bursar_domain::{
    AuthorityNodeId, ClusterId, Cursor, Epoch, Hash, Revision, ServerGuid, ServerId, StoreId, StorePointId, Timestamp, hash::hex,
};
use bursar_net::{Address, DiskFiles, Files, Fingerprint, LicenseProof, kept_from_toml, kept_to_toml, settings_to_toml};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Advertised, Identity, Listen, ProjectionFile, Saved, Settings, Standing,
    membership::{MembershipFile, Node},
    store_points::{DirectoryIdentity, MadeFile},
};

const IDENTITY: &str = include_str!("corpus/identity.toml");
const STANDING: &str = include_str!("corpus/connection-string.toml");
const MEMBERSHIP: &str = include_str!("corpus/membership.toml");
const STORE_POINT: &str = include_str!("corpus/bursar-store-point.toml");
const MADE: &str = include_str!("corpus/made.toml");
const SETTINGS: &str = include_str!("corpus/bursar.toml");
/// In hexadecimal, with a line break behind it.
const PROJECTION: &str = include_str!("corpus/projection.hex");

fn held<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(written: &str, value: &T) {
    assert_eq!(kept_to_toml(value), written);
    assert_eq!(&kept_from_toml::<T>(Path::new("corpus"), written.as_bytes(), "").unwrap(), value);
}

#[test]
fn an_identity_is_the_file_that_was_written_down() {
    let license = LicenseProof { public_key: [3; 32], signature: [4; 64] };
    let (guid, store, certificate) = (ServerGuid([1; 16]), StoreId([2; 16]), Fingerprint::from([5; 32]));
    held(IDENTITY, &Identity { guid, store, certificate, license });
}

#[test]
fn the_standing_connection_string_is_the_file_that_was_written_down() {
    let issued_at = Timestamp(1_900_000_000_000);
    held(STANDING, &Standing { secret: Hash([6; 32]), issued_at, expires_at: issued_at.plus_ms(86_400_000) });
}

#[test]
fn a_membership_is_the_file_that_was_written_down() {
    let node = |node, address: &str| Node { node: AuthorityNodeId(node), address: address.parse().unwrap() };
    let membership = MembershipFile {
        guid: ServerGuid([1; 16]),
        cluster: ClusterId([7; 16]),
        server: ServerId(7),
        ca_fingerprint: Fingerprint::from([5; 32]),
        authority: vec![node(1, "authority-1.example:4288"), node(3, "10.0.0.3:4288")],
    };
    held(MEMBERSHIP, &membership);
}

#[test]
fn the_identity_of_a_store_points_directory_is_the_file_that_was_written_down() {
    let (cluster, server) = (ClusterId([7; 16]), ServerId(7));
    held(STORE_POINT, &DirectoryIdentity { cluster, server, store_point: StorePointId(3), id: [8; 16] });
}

#[test]
fn which_directories_were_made_is_the_file_that_was_written_down() {
    held(MADE, &MadeFile { store: StoreId([2; 16]), store_points: [3, 14].map(StorePointId).into() });
}

#[test]
fn settings_are_the_file_that_was_written_down() {
    let address = |host: &str, port| Address::new(host, port).unwrap();
    let settings = Settings {
        name: "store-7".into(),
        listen: Listen { peer: address("0.0.0.0", 4283), transfer: address("0.0.0.0", 4286), control: address("0.0.0.0", 4288) },
        advertised: Advertised { primary: address("store-7.example", 4288), secondary: Some(address("10.0.0.7", 4288)) },
    };
    assert_eq!(settings_to_toml(&settings), SETTINGS);
    assert_eq!(toml::from_str::<Settings>(SETTINGS).unwrap(), settings);
}

#[test]
fn a_projection_is_the_file_that_was_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = ProjectionFile::new(Arc::new(DiskFiles), folder.path().join("projection"), StoreId([2; 16]));
    let position = Cursor { epoch: Epoch(1), revision: Revision(70_000) };
    let saved = Saved { position, schema: 1, projection: b"what is known".to_vec() };
    file.save(saved.clone()).unwrap();
    assert_eq!(hex::encode(&DiskFiles.read(file.path(), 1_000).unwrap()), PROJECTION.trim_end());
    assert_eq!(file.load().unwrap(), Some(saved));
}
