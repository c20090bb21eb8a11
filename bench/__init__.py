"""
How fast the gateway is, beside what a team would write itself: everything in one run, on one Postgres, on one machine.

    make bench                          everything; writes bench/results/
    make bench QUICK=1                  the same in some minutes, with fewer and shorter rounds; bench/results/quick/
    python -m bench accept latency      single benches

Absolute figures are this machine's only, so what counts are ratios within one run: contenders take turns, round by
round, and medians are compared. The database is durable (fsync and synchronous_commit on). The load comes from
processes of its own and is in nobody's CPU figure; it shares the cores with everything else, for all alike.
"""
