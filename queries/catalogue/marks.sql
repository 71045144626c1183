-- The latest marks of a server. Those from before there were several, if it has none. No row before the first ones.
SELECT toString(argMax(catalogue_marks.done, version)), toString(argMax(catalogue_marks.target, version))
FROM catalogue_marks
WHERE server IN ('', {server:String})
GROUP BY server
ORDER BY server DESC
LIMIT 1
