//! What the HTTP API says: requests, responses, problems, and a client for them.
