"""The classes that promises are made of: what a promise logs is read back from its log, and is its result."""
import datetime
import logging
import os
import random
import re
import time

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) - (\w+) - (\d+-\d{3}) - ?(.*)")
FAILURES = ("ERROR", "CRITICAL")


class BaseResult(object):
    kind = "Base Result"

    def __init__(self, problem=False, message=None, date=None):
        self.problem = problem
        self.message = message
        self.date = date or datetime.datetime.utcnow()

    def hasFailed(self):
        return self.problem

    @classmethod
    def type(cls):
        return cls.kind


class TestResult(BaseResult):
    kind = "Test Result"


class AnomalyResult(BaseResult):
    kind = "Anomaly Result"


class EmptyResult(BaseResult):
    kind = "Empty Result"


class PromiseQueueResult(object):
    def __init__(self, path=None, name=None, title=None, item=None, execution_time=0):
        self.path, self.name, self.title = path, name, title
        self.item = item or EmptyResult()
        self.execution_time = execution_time


class GenericPromise(object):
    def __init__(self, config):
        self.__config = config
        take = config.pop
        self.__name = take("name")
        self.__title = os.path.splitext(self.__name)[0]
        self.__path = take("path")
        self.__queue = take("queue")
        self.__folder = take("partition-folder")
        self.__debug = take("debug", True)
        self.__periodicity = take("periodicity", 2)
        self.__allow_bang = take("bang-on-failure", "true") in (True, "true", "1")
        self.__is_tested = self.__is_anomaly_detected = True
        self.__log_file = os.path.join(take("log-folder"), self.__title + ".log")
        self.logger = logging.getLogger(self.__name)
        self.logger.setLevel(logging.DEBUG if self.__debug else logging.INFO)
        run = "%d-%d" % (time.time(), random.randint(100, 999))
        handler = logging.FileHandler(self.__log_file)
        form = "%(asctime)s - %(levelname)s - " + run + " - %(message)s"
        handler.setFormatter(logging.Formatter(form, "%Y-%m-%d %H:%M:%S"))
        self.logger.addHandler(handler)

    def getConfig(self, key, default=None):
        return self.__config.get(key, default)

    def getTitle(self):
        return self.__title

    def getName(self):
        return self.__name

    def getPromiseFile(self):
        return self.__path

    def getPartitionFolder(self):
        return self.__folder

    def setPeriodicity(self, minute):
        if minute <= 0:
            raise ValueError("a periodicity is positive")
        self.__periodicity = minute

    def getPeriodicity(self):
        return self.__periodicity

    def setTestLess(self):
        self.__is_tested = False

    def isTested(self):
        return self.__is_tested

    def setAnomalyLess(self):
        self.__is_anomaly_detected = False

    def isAnomalyDetected(self):
        return self.__is_anomaly_detected

    def allowBang(self, allow=True):
        self.__allow_bang = allow

    def sense(self):
        raise NotImplementedError

    def _runs(self):
        """Runs in the log, the newest first: whether each failed, and its messages."""
        runs = []
        with open(self.__log_file) as log:
            for line in log:
                found = LINE.match(line)
                if found is None:
                    if runs:
                        runs[-1][2].append(line.rstrip())
                    continue
                _, level, run, message = found.groups()
                if not runs or runs[-1][0] != run:
                    runs.append([run, False, []])
                runs[-1][1] |= level in FAILURES
                runs[-1][2].append(message)
        return [(failed, "\n".join(messages)) for _, failed, messages in reversed(runs)]

    def __result(self, kind, result_count=1, failure_amount=1, latest_minute=0):
        runs = self._runs()[:result_count]
        if not runs:
            return kind(False, "No result found!")
        failed, message = runs[0]
        failures = sum(1 for failed, _ in runs if failed)
        return kind(failed and failures >= failure_amount, message)

    def _test(self, **options):
        return self.__result(TestResult, **options)

    def _anomaly(self, **options):
        return self.__result(AnomalyResult, **options)

    def test(self):
        return self._test()

    def anomaly(self):
        return self._anomaly()

    def run(self, check_anomaly=False, can_bang=True):
        if not (self.__is_anomaly_detected if check_anomaly else self.__is_tested):
            return self.__queue.put_nowait(PromiseQueueResult())
        kind = AnomalyResult if check_anomaly else TestResult
        try:
            self.sense()
        except Exception as error:
            self.logger.error(str(error))
        try:
            result = self.anomaly() if check_anomaly else self.test()
        except Exception as error:
            result = kind(True, str(error))
        self.__queue.put_nowait(PromiseQueueResult(self.__path, self.__name, self.__title, result))
