import { run } from './run.ts';

const [from, to] = (process.argv[2] ?? '1..50').split('..').map(Number) as [number, number];
const start = Date.now();
let ops = 0,
  done = 0,
  fails = 0;
const marks = new Map<string, number>();
for (let seed = from; seed <= (to ?? from); seed++) {
  const t = Date.now();
  const report = await run({ seed });
  ops += report.operations;
  done += report.completed;
  for (const [m, c] of report.marks) marks.set(m, (marks.get(m) ?? 0) + 1);
  if (report.failure) {
    fails++;
    console.log(
      seed,
      report.failure.kind,
      report.failure.message.slice(0, 1500),
      '\n   ',
      report.options.slice(0, 400),
    );
  }
  if (Date.now() - t > 2000)
    console.log('slow', seed, Date.now() - t, report.events, report.virtualMs, report.options);
}
console.log(
  `${to - from + 1} runs, ${fails} failures, ${ops} operations, ${done} completed, ${Date.now() - start} ms`,
);
console.log(Object.fromEntries(marks));
