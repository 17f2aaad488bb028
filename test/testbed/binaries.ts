import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, copyFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { cachedFolder, cacheRoot, exists, fileNamedBy, type Log } from './cache.ts'
import { type GoModule, readGoModule, runGo, whyNoGo } from './go.ts'

/** Absolute paths. `istioCrds` is a YAML file with all of Istio's CustomResourceDefinitions. */
export type Binaries = { kubeApiserver: string; etcd: string; kubectl: string; istioCrds: string }

/** One sentence: what is not there, and how to get it. */
export type Missing = { missing: string }

const KUBERNETES = 'k8s.io/kubernetes'
const ETCD = 'go.etcd.io/etcd/server/v3'
const ISTIO_API = 'istio.io/api'
const NAMES = ['kube-apiserver', 'etcd', 'kubectl']
const CRDS = 'crds.yaml'

/**
 * The control plane's binaries: from the folder KUBEBUILDER_ASSETS, else from the cache, else built with Go into the
 * cache. `ISTIO_CRDS=FILE` names Istio's CRDs where they are not to come from the Go module.
 *
 * Throws where a variable names something that is not there, and where a build fails (with the end of its log).
 */
export const findOrBuildBinaries = async (log: Log): Promise<Binaries | Missing> => {
  const module = await readGoModule(import.meta.dirname)
  const folder = (await folderNamedBy('KUBEBUILDER_ASSETS', NAMES)) ?? (await built(module, log))
  if (typeof folder !== 'string') return folder
  const istioCrds = await findIstioCrds(module, log)
  if (typeof istioCrds !== 'string') return istioCrds
  return {
    kubeApiserver: join(folder, 'kube-apiserver'),
    etcd: join(folder, 'etcd'),
    kubectl: join(folder, 'kubectl'),
    istioCrds,
  }
}

/** The folder that a variable of the environment names; undefined where it names none. Throws where a program is not in it. */
export const folderNamedBy = async (variable: string, names: readonly string[]): Promise<string | undefined> => {
  const value = process.env[variable]
  if (value === undefined || value === '') return undefined
  const folder = resolve(value)
  const problems: string[] = []
  for (const name of names) {
    try {
      await access(join(folder, name), constants.X_OK)
    } catch (error) {
      problems.push(`${name} (${error instanceof Error && 'code' in error ? error.code : error})`)
    }
  }
  if (problems.length > 0) {
    throw new Error(`${variable}=${value} has no executable ${problems.join(', ')}; complete it or unset it`)
  }
  return folder
}

const built = (module: GoModule, log: Log): Promise<string | Missing> => {
  const version = module.version(KUBERNETES)
  const strip = '-s -w'
  // Without gitVersion the server calls itself v0.0.0 and kubectl warns of the skew.
  const stamp = `${strip} -X k8s.io/component-base/version.gitVersion=${version}`
  return buildWithGo(
    {
      module,
      what: `kube-apiserver and kubectl ${version} and etcd ${module.version(ETCD)}`,
      minutes: 5,
      otherwise: `no control plane to test against: set KUBEBUILDER_ASSETS to a folder with ${NAMES.join(', ')}`,
      builds: [
        {
          output: '',
          flags: ['-trimpath', '-ldflags', stamp, `${KUBERNETES}/cmd/kube-apiserver`, `${KUBERNETES}/cmd/kubectl`],
        },
        { output: 'etcd', flags: ['-trimpath', '-ldflags', strip, ETCD] },
      ],
    },
    log,
  )
}

/** What `go build` makes of a module, and what to say of it. */
export type GoBuild = {
  module: GoModule
  /** The text of files that are built beside what go.mod and go.sum fix. */
  sources?: string
  what: string
  /** How long it takes from a cold cache, about. */
  minutes: number
  /** What is not there, and what to set instead of installing Go. */
  otherwise: string
  /** `output` is a file in the folder; empty where there are several, each with the name of its package. */
  builds: { output: string; flags: string[] }[]
}

/** The folder in the cache with what a build makes; made now where it is not there yet. */
export const buildWithGo = async (
  { module, sources, what, minutes, otherwise, builds }: GoBuild,
  log: Log,
): Promise<string | Missing> => {
  const key = createHash('sha256')
    .update(JSON.stringify([module.content, sources, builds, process.platform, process.arch]))
    .digest('hex')
    .slice(0, 16)
  const path = join(cacheRoot(), key)
  if (await exists(path)) return path
  const reason = await whyNoGo(module)
  if (reason !== undefined) return { missing: `${otherwise}, or install Go ${module.go} (${reason}).` }
  const fill = async (folder: string): Promise<void> => {
    log(`building ${what} from Go modules; about ${minutes} minutes the first time (log: ${path}.log)`)
    const started = Date.now()
    for (const { output, flags } of builds) {
      await runGo(module, ['build', '-o', `${folder}/${output}`, ...flags], `${path}.log`)
    }
    log(`built in ${Math.round((Date.now() - started) / 1000)} s: ${path}`)
  }
  return cachedFolder(path, fill, log)
}

const findIstioCrds = async (module: GoModule, log: Log): Promise<string | Missing> => {
  const named = await fileNamedBy('ISTIO_CRDS')
  if (named !== undefined) return named
  const version = module.version(ISTIO_API)
  const path = join(cacheRoot(), `istio-api-${version}`)
  if (await exists(path)) return join(path, CRDS)
  const reason = await whyNoGo(module)
  if (reason !== undefined) {
    return {
      missing: `no CRDs of Istio: set ISTIO_CRDS to a YAML file with the CRDs of Istio (istio.io/api ${version}), or install Go ${module.go} (${reason}).`,
    }
  }
  const fill = async (folder: string): Promise<void> => {
    const { Dir } = JSON.parse(await runGo(module, ['mod', 'download', '-json', ISTIO_API], `${path}.log`)) as {
      Dir?: string
    }
    if (Dir === undefined) throw new Error(`go mod download names no folder for ${ISTIO_API}; see ${path}.log`)
    await copyFile(join(Dir, 'kubernetes', 'customresourcedefinitions.gen.yaml'), join(folder, CRDS))
  }
  return join(await cachedFolder(path, fill, log), CRDS)
}
