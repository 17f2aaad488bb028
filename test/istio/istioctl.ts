import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { buildWithGo, type Missing } from '../testbed/binaries.ts'
import { fileNamedBy, type Log } from '../testbed/cache.ts'
import { readGoModule } from '../testbed/go.ts'

/** What `istioctl analyze` says of one object. */
export type AnalysisMessage = {
  /** `IST0101` */
  code: string
  level: 'Info' | 'Warning' | 'Error'
  message: string
  /** `VirtualService shop/orders` */
  origin: string
}

/** The module that the oracle is built from requires Istio, and so fixes one version for both. */
const FOLDER = join(import.meta.dirname, 'oracle')
const PACKAGE = 'istio.io/istio/istioctl/cmd/istioctl'
const LIMIT_MS = 60_000

export const istioVersion = async (): Promise<string> => (await readGoModule(FOLDER)).version('istio.io/istio')

/** The istioctl that ISTIOCTL names, else from the cache, else built with Go into the cache. */
export const findOrBuildIstioctl = async (log: Log): Promise<string | Missing> => {
  const named = await fileNamedBy('ISTIOCTL')
  if (named !== undefined) return named
  const module = await readGoModule(FOLDER)
  const folder = await buildWithGo(
    {
      module,
      what: `istioctl of Istio ${module.version('istio.io/istio')}`,
      minutes: 3,
      otherwise: 'no istioctl to compare with: set ISTIOCTL to one of that version',
      builds: [{ output: 'istioctl', flags: ['-trimpath', '-ldflags', '-s -w', PACKAGE] }],
    },
    log,
  )
  return typeof folder === 'string' ? join(folder, 'istioctl') : folder
}

/** Without all namespaces it is that of kubectl alone which is looked at, in files as well. */
export const analyzeArguments = (...more: readonly string[]): string[] => [
  'analyze',
  '--all-namespaces',
  '--output=json',
  ...more,
]

/**
 * What istioctl says of all that a cluster holds. Given files alone (`--use-kube=false`) it would leave their Services and
 * Namespaces aside, and with them the analyzers of destinations and port names.
 */
export const analyze = (istioctl: string, kubeconfig: string, home: string): Promise<AnalysisMessage[]> =>
  new Promise((resolve, reject) => {
    const child = spawn(istioctl, analyzeArguments(`--kubeconfig=${kubeconfig}`), {
      env: { HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        said[name] += text
      })
    }
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(said.stdout) as AnalysisMessage[])
      else reject(new Error(`istioctl analyze ended with ${code ?? signal}: ${said.stderr}`))
    })
  })
