/**
 * What `meshvip check` takes for 10,000 manifests (30 MB) in 500 files: `npm run bench:check`, as a process of its own, beside `istioctl analyze`
 * of the same files where there is an istioctl (ISTIOCTL, or one that is built already). The two do not look for the same: istioctl leaves most
 * of its analyzers out without a cluster.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type AnalysisMessage, analyzeArguments, findOrBuildIstioctl } from '../test/istio/istioctl.ts'
import { service, virtualService } from '../test/support/objects.ts'
import { print, table, target } from './statistics.ts'

const files = 500
const pairsPerFile = 10
const routes = 26

/** Seconds, and MiB. */
const targets = { seconds: 30, memory: 1_024 }

/** Every hundredth has two mistakes: a port that its host has not, which istioctl does not look for, and a route behind one that takes all. */
const manifestsOf = (file: number): string =>
  Array.from({ length: pairsPerFile }, (_, index) => {
    const pair = file * pairsPerFile + index
    const [name, port] = [`orders-${pair}`, 20_000 + pair]
    const isWrong = pair % 100 === 0
    const http = Array.from({ length: routes }, (_, route) => ({
      name: `route-${route}`,
      ...(isWrong && route === routes - 2
        ? {}
        : { match: [{ uri: { prefix: `/api/v1/resources/${route}/` }, port: isWrong && route === 0 ? 80 : port }] }),
      route: [{ destination: { host: `${name}-backend-${route}.shop.svc.cluster.local`, port: { number: 3100 } } }],
      timeout: '10s',
    }))
    return [
      service(name, { ports: [{ name: 'http-api', port, protocol: 'TCP' }] }),
      virtualService(name, { hosts: [`${name}.shop.svc.cluster.local`], gateways: ['mesh'], http }),
    ]
      .map((manifest) => stringify(manifest))
      .join('---\n')
  }).join('---\n')

type Run = { seconds: number; megabytes: number; out: string }

/** Runs a program that is to end well; its peak memory is what /proc says of it while it runs. */
const run = (command: string, args: readonly string[]): Promise<Run> =>
  new Promise((resolve, reject) => {
    const started = performance.now()
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, err, megabytes] = ['', '', 0]
    const look = setInterval(async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
      megabytes = Math.max(megabytes, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
    }, 50)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearInterval(look)
      if (code === 0) resolve({ seconds: (performance.now() - started) / 1000, megabytes, out })
      else reject(new Error(`${command} ended with ${code ?? signal}: ${err}`))
    })
  })

print(`Node ${process.versions.node}, ${availableParallelism()} CPUs, ${process.platform}/${process.arch}`)
const folder = await mkdtemp(join(tmpdir(), 'meshvip-bench-'))
try {
  await mkdir(join(folder, 'manifests'))
  let bytes = 0
  for (let file = 0; file < files; file++) {
    const text = manifestsOf(file)
    bytes += Buffer.byteLength(text)
    await writeFile(join(folder, 'manifests', `${file}.yaml`), text)
  }
  print(`${2 * files * pairsPerFile} manifests, ${(bytes / 1e6).toFixed(0)} MB, in ${files} files\n`)
  const ours = await run(process.execPath, ['src/main.ts', 'check', join(folder, 'manifests')])
  const found = Number(/0 errors, (\d+) warnings/.exec(ours.out)?.[1])
  if (found !== (2 * files * pairsPerFile) / 100) throw new Error(`${found} mistakes were found`)
  const rows = [['meshvip check', ours.seconds.toFixed(1), ours.megabytes.toFixed(0), String(found)]]
  const istioctl = await findOrBuildIstioctl(print)
  if (typeof istioctl === 'string') {
    const theirs = await run(istioctl, analyzeArguments('--use-kube=false', join(folder, 'manifests')))
    const messages = JSON.parse(theirs.out) as AnalysisMessage[]
    rows.push([
      'istioctl analyze --use-kube=false',
      theirs.seconds.toFixed(1),
      theirs.megabytes.toFixed(0),
      String(messages.filter(({ level }) => level !== 'Info').length),
    ])
  } else {
    print(istioctl.missing)
  }
  print(table(['', 'seconds', 'MiB', 'findings'], rows))
  print('')
  print(target('seconds', ours.seconds, targets.seconds, ' s'))
  print(target('memory', ours.megabytes, targets.memory, ' MiB'))
} finally {
  await rm(folder, { recursive: true, force: true })
}
