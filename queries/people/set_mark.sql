-- Replaces a mark. The version grows even if the clock was set back.
INSERT INTO people_marks (name, mark, version)
SELECT {name:String}, toUInt128({mark:String}), max(version) + 1
FROM people_marks
WHERE name = {name:String}
