"""The telephone lab: SIP phones, a proxy, a media relay, its recorder and recpipe, on one machine, with real calls.

baresip - Kamailio - rtpengine - rtpengine-recording, Debian's binaries unchanged, in a network of their own. The one
thing stood in for is the packet sink of rtpengine's kernel module (`procsink.c`). See `scripts/lab`.
"""
