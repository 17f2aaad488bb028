import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import packageManifest from '../package.json' with { type: 'json' }
import { type AddressListOptions, showAddresses } from './address-list/command.ts'
import { formats } from './address-list/format.ts'
import { stateNames, states } from './address-list/states.ts'
import { isLabelName, isObjectName } from './api/metadata.ts'
import { type CheckFlags, parseTarget, runCheck, type Target } from './check/command.ts'
import { formatNames } from './check/formats/index.ts'
import { completionScripts, type Shell } from './completion.ts'
import { ConfigurationError } from './config/load.ts'
import { readPolicy } from './config/read.ts'
import { explain, rulesLike } from './explain.ts'
import { describeRules, ruleTables } from './rules/describe.ts'
import { shownName } from './rules/message.ts'
import { greeting, standaloneGreeting } from './server/greeting.ts'
import { type HostPort, parseHostPort } from './server/host-port.ts'
import type { RegistrationOptions } from './server/live-cluster.ts'
import { type ServeOptions, serve } from './server/serve.ts'
import { untilAskedToStop } from './server/shutdown.ts'
import { UsageError } from './usage-error.ts'
import { ManifestError } from './view/manifests.ts'

/** Where the texts go, so that a test can read them. */
export type Output = {
  out(text: string): void
  err(text: string): void
  /** Whether a person reads them on a terminal; nobody does where it is left out. */
  isTerminal?: { out: boolean; err: boolean }
}

const hostPort = (text: string): HostPort => {
  const parsed = parseHostPort(text)
  if (parsed === undefined) throw new InvalidArgumentError('write it as HOST:PORT, such as 127.0.0.1:8443.')
  return parsed
}

/** A number of seconds; ten minutes are longer than anybody waits for a process to end. */
const seconds = (text: string): number => {
  if (!/^\d{1,3}$/.test(text) || Number(text) > 600)
    throw new InvalidArgumentError('write a number of seconds, 600 at most.')
  return Number(text)
}

/** The values of an option that may be repeated. */
const appended = (text: string, texts: readonly string[] = []): string[] => [...texts, text]

/** It takes some seconds until every API server has forgotten the endpoint of a pod that ends. */
const podDrainSeconds = 5

type ServicePort = { name: string; port: number }

/** `NAME` or `NAME:PORT`, of a Service. */
const servicePort = (text: string): ServicePort => {
  const [, name = '', port = '443'] = /^([^:]*)(?::(\d{1,5}))?$/.exec(text) ?? []
  if (!isObjectName(name) || Number(port) < 1 || Number(port) > 65_535)
    throw new InvalidArgumentError('write the name of a Service, or NAME:PORT.')
  return { name, port: Number(port) }
}

const objectName = (text: string): string => {
  if (!isObjectName(text)) throw new InvalidArgumentError('write the name of an object.')
  return text
}

/** Where a webhook may be, by a URL (admissionregistration/v1, WebhookClientConfig): the paths are ours to add. */
const webhookURL = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.href !== `${url.origin}/`)
    throw new InvalidArgumentError('write it as https://HOST:PORT.')
  return url.origin
}

type ServeFlags = {
  standalone?: true | string
  kubeconfig?: string
  listen?: HostPort
  metricsListen?: HostPort
  tlsCert?: string
  tlsKey?: string
  webhookService?: ServicePort
  webhookUrl?: string
  tlsSecret?: string
  selfManagedCertificates?: true
  clientCa?: string
  clientName?: string[]
  config?: string
  drain?: number
}

/** The flags by which we are registered; undefined where there are none. Throws UsageError where they do not go together. */
const registrationOptions = (flags: ServeFlags): RegistrationOptions | undefined => {
  const { webhookService: service, webhookUrl: url, tlsSecret: secret, selfManagedCertificates } = flags
  const to = service !== undefined ? { service } : url !== undefined ? { url } : undefined
  if (to === undefined && secret === undefined && selfManagedCertificates === undefined) return undefined
  if (to === undefined || secret === undefined || (service !== undefined && url !== undefined)) {
    throw new UsageError(
      'to be registered give --tls-secret, and either --webhook-service or --webhook-url: by what the API server reaches us, and where the certificate is',
    )
  }
  if (flags.standalone !== undefined || flags.tlsCert !== undefined) {
    throw new UsageError('--tls-secret stands in place of --tls-cert and --tls-key, and takes a live cluster')
  }
  return { to, secret, selfManaged: selfManagedCertificates === true }
}

const serveOptions = (flags: ServeFlags): ServeOptions => {
  const { standalone, kubeconfig, listen, metricsListen, tlsCert, tlsKey, config, drain } = flags
  if (standalone !== undefined && kubeconfig !== undefined) {
    throw new UsageError('--standalone and --kubeconfig exclude each other: the cluster is either in memory or live')
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError('--tls-cert and --tls-key belong together: give both, or neither for a self-made certificate')
  }
  const { clientCa, clientName = [] } = flags
  if (clientCa === undefined && clientName.length > 0)
    throw new UsageError('--client-name takes --client-ca FILE, the CA that certifies the name')
  const registration = registrationOptions(flags)
  const inPod = standalone === undefined && kubeconfig === undefined
  return {
    listen: listen ?? { host: inPod ? '0.0.0.0' : '127.0.0.1', port: 8443 },
    ...(standalone === undefined ? {} : { standalone }),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(metricsListen === undefined ? {} : { metricsListen }),
    ...(tlsCert === undefined || tlsKey === undefined ? {} : { tls: { cert: tlsCert, key: tlsKey } }),
    ...(registration === undefined ? {} : { registration }),
    ...(clientCa === undefined ? {} : { clients: { ca: clientCa, names: clientName } }),
    ...(config === undefined ? {} : { config }),
    drain: 1000 * (drain ?? (inPod ? podDrainSeconds : 0)),
  }
}

const runServe = async (flags: ServeFlags, { out }: Output): Promise<void> => {
  // From the first moment: process 1 of a container gets no signal that it does not listen for, and is killed for it in the end.
  const stopped = untilAskedToStop()
  const serving = await serve(serveOptions(flags))
  out(flags.standalone === undefined ? greeting(serving) : standaloneGreeting(serving))
  if (serving.metricsURL !== undefined) out(`probes and metrics: ${serving.metricsURL}\n`)
  await stopped
  await serving.close()
}

const namespaceName = (text: string): string => {
  if (!isLabelName(text)) throw new InvalidArgumentError('write the name of a namespace.')
  return text
}

const noTerminal = { out: false, err: false }

const stateLines = stateNames.map((name) => `  ${name.padEnd(11)}${states[name].meaning}`)

/** Resolves to the exit code. */
const runVips = async (flags: AddressListOptions, { out, err }: Output): Promise<number> => {
  const { text, problems } = await showAddresses(flags)
  out(text)
  for (const problem of problems) err(`meshvip: ${problem}\n`)
  return problems.length === 0 ? 0 : 1
}

const targets = (text: string, before: readonly Target[] = []): Target[] => {
  try {
    return [...before, parseTarget(text)]
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

/** The errors whose message is all that the user needs. */
const isForUser = (error: unknown): error is Error =>
  error instanceof UsageError || error instanceof ConfigurationError || error instanceof ManifestError

/**
 * Runs the command line; resolves to the exit code: 0, 1 where it found something wrong, or 2 where it was started in a way that cannot
 * work.
 */
export const run = async (args: readonly string[], output: Output): Promise<number> => {
  let code = 0
  const program = new Command('meshvip')
    .description(packageManifest.description)
    .version(packageManifest.version)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: output.err })
  program
    .command('serve')
    .description('serve the admission webhook over HTTPS: POST /mutate and POST /validate')
    .option('--standalone [DIR]', 'no Kubernetes: a cluster in memory, with the manifests of DIR in it')
    .option('--kubeconfig <FILE>', 'the cluster to work for (default: the one of the pod we run in)')
    .option('--listen <HOST:PORT>', 'where to listen (default: 127.0.0.1:8443, in a pod 0.0.0.0:8443)', hostPort)
    .option('--tls-cert <FILE>', 'the serving certificate, PEM (default: a self-made one)')
    .option('--tls-key <FILE>', 'the key of the serving certificate, PEM')
    .option('--webhook-service <NAME[:PORT]>', 'register us, at this Service of our namespace (port: 443)', servicePort)
    .option('--webhook-url <URL>', 'register us, at this URL, which the API server reaches', webhookURL)
    .option('--tls-secret <NAME>', 'the Secret of our namespace with ca.crt, tls.crt and tls.key', objectName)
    .option('--self-managed-certificates', 'make and renew what is in that Secret')
    .option('--client-ca <FILE>', 'answer only who shows a certificate of this CA, PEM (default: everybody)')
    .option('--client-name <NAME>', 'and has this common name or DNS name in it; repeatable', appended)
    .option('--config <FILE>', 'the configuration, YAML')
    .option('--drain <SECONDS>', `how long a stop answers as usual (default: 0, in a pod ${podDrainSeconds})`, seconds)
    .option('--metrics-listen <HOST:PORT>', 'where to serve /livez, /readyz and /metrics over HTTP', hostPort)
    .action((flags: ServeFlags) => runServe(flags, output))
  program
    .command('check')
    .argument('<PATH...>', 'files, folders, or - for the standard input')
    .description(
      'check manifests by the rules of the webhook; exit code 1 where it would refuse one, 2 where one is unreadable',
    )
    .option('--live', 'as applied to the cluster of kubectl, or that of --kubeconfig')
    .option('--kubeconfig <FILE>', 'the cluster that --live asks')
    .option('--complete', 'there is nothing beside these manifests: what is not found is missing')
    .option('--config <FILE>', 'the configuration of the webhook, YAML')
    .option(
      '-n, --namespace <NAME>',
      'where objects are that say no namespace (default: that of kubectl with --live, else "default")',
      namespaceName,
    )
    .addOption(
      new Option('--unlisted-namespaces <HOW>', 'whether namespaces that are not given belong to the mesh')
        .choices(['selected', 'ignored'])
        .default('selected'),
    )
    .addOption(
      new Option('-o, --output <FORMAT[=FILE]>', 'how to write it, and where; repeatable')
        .choices(formatNames)
        .argParser(targets),
    )
    .addOption(new Option('--fail-on <ACTION>', 'what is a failure').choices(['deny', 'warn']).default('deny'))
    .action(
      async (
        paths: string[],
        { output: wanted = [], ...flags }: Omit<CheckFlags, 'output'> & { output?: Target[] },
      ) => {
        code = await runCheck(
          paths,
          { ...flags, output: wanted },
          { stdin: process.stdin, isTerminal: noTerminal, ...output },
        )
      },
    )
  program
    .command('rules')
    .description('list the rules, and what is done for their findings')
    .option('--config <FILE>', 'the configuration of the webhook, YAML')
    .addOption(
      new Option('-o, --output <FORMAT>', 'how to write it').choices(Object.keys(ruleTables)).default('text', '"text"'),
    )
    .action(async ({ config, output: format }: { config?: string; output: keyof typeof ruleTables }) => {
      output.out(ruleTables[format](describeRules(await readPolicy(config))))
    })
  program
    .command('explain')
    .argument('<RULE>', 'the id of a rule, as it stands in brackets behind a finding')
    .description('show the page of a rule: what it finds, why that fails, what is done for it, and an example')
    .option('--config <FILE>', 'the configuration of the webhook, YAML')
    .action(async (id: string, { config }: { config?: string }) => {
      const text = explain(id, await readPolicy(config))
      const like = rulesLike(id)
      const hint =
        like.length === 0 ? 'meshvip rules lists them' : `there ${like.length === 1 ? 'is' : 'are'} ${like.join(', ')}`
      if (text === undefined) throw new UsageError(`there is no rule ${shownName(id)}: ${hint}`)
      output.out(text)
    })
  program
    .command('vips')
    .description('show the pools, and every address that somebody has; exit code 1 where something is wrong with any')
    .option('--kubeconfig <FILE>', 'the cluster to look at (default: the one of kubectl)')
    .option('-f, --filename <PATH>', 'no cluster: the manifests of a file or folder, - for stdin; repeatable', appended)
    .option('--config <FILE>', 'the configuration of the webhook, YAML')
    .option('-n, --namespace <NAME>', 'only the addresses of Services of this namespace')
    .addOption(new Option('--state <STATE>', 'only the addresses in this state').choices(stateNames))
    .addOption(
      new Option('-o, --output <FORMAT>', 'how to write it').choices(Object.keys(formats)).default('table', '"table"'),
    )
    .addHelpText('after', ['', 'States:', ...stateLines].join('\n'))
    .action(async (flags: AddressListOptions) => {
      code = await runVips(flags, output)
    })
  program
    .command('completion')
    .addArgument(new Argument('<SHELL>', 'the shell').choices(Object.keys(completionScripts)))
    .description('print the script by which a shell completes our commands and options')
    .action((shell: Shell) => output.out(completionScripts[shell](program)))
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    const { code, exitCode } = error as { code?: string; exitCode?: number }
    if (code?.startsWith('commander.')) return exitCode === 0 ? 0 : 2
    if (!isForUser(error)) throw error
    output.err(`meshvip: ${error.message}\n`)
    return 2
  }
}
