-- Replaces the marks of a server. The version grows even if the clock was set back.
INSERT INTO catalogue_marks (done, target, server, version)
SELECT toUInt128({done:String}), toUInt128({target:String}), {server:String}, max(version) + 1
FROM catalogue_marks
WHERE server = {server:String}
