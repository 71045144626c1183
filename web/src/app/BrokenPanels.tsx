import type { BrokenPanel } from "../gen/millrace/v1/dashboard_pb.ts";

/** Panel files that the server cannot load, with file, line and error. */
export function BrokenPanels({ broken }: { broken: BrokenPanel[] }) {
  if (broken.length === 0) return null;
  return (
    <section aria-label="Broken panel files" className="card mb-4 border-warn">
      <h2 className="mb-2 text-base font-semibold text-warn">
        {broken.length === 1 ? "1 panel file cannot be loaded" : `${broken.length} panel files cannot be loaded`}
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
