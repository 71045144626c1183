import type { BrokenPanel } from "../gen/millrace/v1/dashboard_pb.ts";

/** Files in the panels' folder that are no usable panel, with the place to look at. */
export function BrokenPanels({ broken }: { broken: BrokenPanel[] }) {
  if (broken.length === 0) return null;
  return (
    <section aria-label="Broken panel files" className="card mb-4 border-warn">
      <h2 className="mb-2 text-base font-semibold text-warn">
        {broken.length === 1 ? "A panel file cannot be used" : `${broken.length} panel files cannot be used`}
      </h2>
      <ul className="flex flex-col gap-2 text-sm">
        {broken.map(({ file, line, message }) => (
          <li key={file} className="break-words">
            <code className="font-mono text-xs">
              {file}
              {line > 0 && `:${line}`}
            </code>
            <span className="block text-muted">{message}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
