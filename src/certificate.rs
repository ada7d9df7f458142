//! Floor 1, what a certificate says: X.509 facts, PSD2 roles (ETSI TS 119 495), and key material from files.
