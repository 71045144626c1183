-- The latest marks. No row before the first ones.
SELECT toString(argMax(catalogue_marks.done, version)), toString(argMax(catalogue_marks.target, version))
FROM catalogue_marks
HAVING count() > 0
