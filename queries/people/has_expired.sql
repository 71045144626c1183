-- Whether a row may have expired. Usually none has, and this is much cheaper than the statements that delete.
SELECT toBool(ifNull(
    (SELECT count() FROM session_users WHERE last_seen < now() - toIntervalDay({days:UInt64}))
    + (SELECT count() FROM people WHERE last_seen < now() - toIntervalDay({days:UInt64})) > 0, false))
