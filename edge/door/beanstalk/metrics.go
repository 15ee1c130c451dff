package beanstalk

import (
	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/protocol"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{{Name: "gosper_beanstalk_commands_total", Help: "Commands of the beanstalkd protocol, by command."}}
}

// counted lists the commands in the order in which stats tells their numbers.
var counted = []struct {
	name    string
	command protocol.BeanstalkCommand
}{
	{"put", protocol.BeanstalkPut}, {"peek", protocol.BeanstalkPeek}, {"peek-ready", protocol.BeanstalkPeekReady},
	{"peek-delayed", protocol.BeanstalkPeekDelayed}, {"peek-buried", protocol.BeanstalkPeekBuried},
	{"reserve", protocol.BeanstalkReserve}, {"reserve-with-timeout", protocol.BeanstalkReserveTimeout},
	{"delete", protocol.BeanstalkDelete}, {"release", protocol.BeanstalkRelease}, {"use", protocol.BeanstalkUse},
	{"watch", protocol.BeanstalkWatch}, {"ignore", protocol.BeanstalkIgnore}, {"bury", protocol.BeanstalkBury},
	{"kick", protocol.BeanstalkKick}, {"touch", protocol.BeanstalkTouch}, {"stats", protocol.BeanstalkStats},
	{"stats-job", protocol.BeanstalkStatsJob}, {"stats-tube", protocol.BeanstalkStatsTube},
	{"list-tubes", protocol.BeanstalkListTubes}, {"list-tube-used", protocol.BeanstalkListTubeUsed},
	{"list-tubes-watched", protocol.BeanstalkListTubesWatched}, {"pause-tube", protocol.BeanstalkPauseTube},
}

// counters are shared by all doors of a process: what stats tells is about the process. Commands that stats does not
// tell are counted together.
var counters = func() (c [protocol.BeanstalkCommands]*vm.Counter) {
	for _, k := range counted {
		c[k.command] = vm.NewCounter(`gosper_beanstalk_commands_total{command="` + k.name + `"}`)
	}
	other := vm.NewCounter(`gosper_beanstalk_commands_total{command="other"}`)
	for i := range c {
		if c[i] == nil {
			c[i] = other
		}
	}
	return c
}()

func counter(c protocol.BeanstalkCommand) *vm.Counter { return counters[c] }

func count(c protocol.BeanstalkCommand) { counter(c).Inc() }
