/** meshvip with what no option of its command line sets: `node test/support/replica.ts OPTIONS`, those of `serve` in JSON. */
import { type ServeOptions, serve } from '../../src/server/serve.ts'
import { untilAskedToStop } from '../../src/server/shutdown.ts'

const serving = await serve(JSON.parse(String(process.argv[2])) as ServeOptions)
const stopped = untilAskedToStop()
process.stdout.write(`probes and metrics: ${serving.metricsURL}\n`)
await stopped
await serving.close()
