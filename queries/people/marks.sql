-- The latest version of every mark.
SELECT name, toString(argMax(people_marks.mark, version)) AS mark
FROM people_marks
GROUP BY name
ORDER BY name
